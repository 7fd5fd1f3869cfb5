"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import roxmodel

MODULES = sorted(m.name for m in pkgutil.walk_packages(roxmodel.__path__, "roxmodel.", onerror=lambda _: None))
OPTIONAL = {"matplotlib", "typer", "rich", "jinja2", "polars", "pyarrow", "duckdb"}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", ["roxmodel", *MODULES])
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OPTIONAL:
            pytest.skip(f"{name} needs {error.name}, which is not installed")
        raise
    found = doctest.testmod(module, optionflags=FLAGS)
    assert found.failed == 0, f"{found.failed} of {found.attempted} examples of {name} fail (see the output above)"
