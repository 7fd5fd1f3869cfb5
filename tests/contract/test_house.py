"""The house rules a machine can see."""

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

import pytest

import roxmodel as rox

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "roxmodel"
FILES = {str(path.relative_to(PACKAGE).as_posix()): path for path in sorted(PACKAGE.rglob("*.py"))}
MARK = "PLR0913 - the contract"
FILE_WALL, FUNCTION_WALL, PARAMETER_WALL = 600, 60, 7

Def = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A module's text and tree."""

    text: str
    tree: ast.Module

    @property
    def functions(self) -> list[Def]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Def)]


@pytest.fixture(params=FILES)
def source(request) -> Source:
    text = FILES[request.param].read_text(encoding="utf-8")
    return Source(text, ast.parse(text))


def code_lines(function: Def, text: str) -> int:
    """Lines of a function with code on them: no docstring, comment or blank line."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    first, last = body[0].lineno, function.end_lineno or body[0].lineno
    used = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}:
            used |= set(range(token.start[0], token.end[0] + 1))
    return len([line for line in used if first <= line <= last])


def test_a_file_has_at_most_600_lines(source):
    assert len(source.text.splitlines()) <= FILE_WALL


def test_a_function_has_at_most_60_lines_of_code(source):
    # a function of fewer lines in all needs no count
    long = [f for f in source.functions if (f.end_lineno or 0) - f.lineno > FUNCTION_WALL]
    counts = {f.name: code_lines(f, source.text) for f in long}
    assert all(count <= FUNCTION_WALL for count in counts.values()), counts


def test_a_function_has_at_most_7_parameters(source):
    lines = source.text.splitlines()
    for function in source.functions:
        given = function.args
        names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs) if a.arg not in {"self", "cls"}]
        if len(names) > PARAMETER_WALL:
            assert MARK in lines[function.lineno - 1], f"{function.name} has {len(names)} parameters: {names}"


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("deliver/c")])
def test_nothing_prints_but_the_command_line(name):
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert "print" not in {call.func.id for call in calls}


def test_nothing_is_left_for_later(source):
    assert not re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b|NotImplementedError", source.text)


def test_no_error_is_silenced_whole(source):
    assert not re.findall(r"#\s*type:\s*ignore(?!\[)|#\s*noqa(?!:)", source.text)
    handlers = [node for node in ast.walk(source.tree) if isinstance(node, ast.ExceptHandler)]
    assert all(handler.type is not None for handler in handlers)


def test_random_numbers_come_from_a_seed(source):
    assert not re.findall(r"np\.random\.(?:seed|rand|randn|normal|choice|RandomState)\b", source.text)


def test_a_module_says_what_it_holds_and_what_is_public(source):
    assert ast.get_docstring(source.tree)
    public = [n for n in source.tree.body if isinstance(n, Def | ast.ClassDef) and not n.name.startswith("_")]
    if public:
        set_here = [node.targets[0] for node in source.tree.body if isinstance(node, ast.Assign)]
        assert "__all__" in {getattr(target, "id", "") for target in set_here}


def test_everything_public_has_a_docstring(source):
    for node in source.tree.body:
        if not isinstance(node, Def | ast.ClassDef) or node.name.startswith("_"):
            continue
        assert ast.get_docstring(node), node.name
        members = node.body if isinstance(node, ast.ClassDef) else []
        for member in members:
            if isinstance(member, Def) and not member.name.startswith("_"):
                assert ast.get_docstring(member), f"{node.name}.{member.name}"


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "helpers", "helper", "base", "common", "core", "misc"}
    assert not {path.stem for path in FILES.values()} & drawers


@pytest.mark.parametrize("name", [name for name in rox.__all__ if name != "__version__"])
def test_every_public_name_has_an_example(name):
    text = getattr(rox, name).__doc__ or ""
    assert "Examples\n" in text
    assert ">>> " in text


def test_nothing_in_the_tree_names_a_machine():
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "pyproject.toml", ROOT / "mkdocs.yml"]
    for folder in ("src", "docs", "examples", "benchmarks"):
        texts += [path for ending in ("py", "json", "md") for path in (ROOT / folder).rglob(f"*.{ending}")]
    private = re.compile(r"/(?:home|root|Users|work|tmp)/\w|index-url|files\.pythonhosted|localhost")
    for path in texts:
        found = private.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found}"


def test_there_is_no_lock_file():
    locks = ("uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "requirements.txt", "pylock.toml")
    assert not [name for name in locks if (ROOT / name).exists()]


def test_dependencies_have_lower_bounds_only():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (one for group in groups for one in group if not one.startswith("roxmodel[")):
        assert re.fullmatch(r"[\w-]+(\[\w+\])?>=[\d.]+", requirement), requirement


def test_mypy_is_strict_and_exempts_no_module_of_ours():
    import tomllib

    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True
    for override in mypy.get("overrides", []):
        assert not [name for name in override["module"] if name.startswith("roxmodel")]
        assert set(override) == {"module", "ignore_missing_imports"}
