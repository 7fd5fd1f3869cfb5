"""Print the parity table: every reference case, chi-square here and there, and the largest differences to lavaan.

``python tests/reference/sem/parity_table.py [case ...]`` prints markdown; ``-v`` names the worst rows and
``--numbers`` lays the edges and defined parameters of the cases beside lavaan's.
"""

from __future__ import annotations

import sys
from typing import Any

import parity

HEAD = (
    "| case | chisq: lavaan | roxmodel | difference | rows | estimates (in se) | estimates | se (relative) "
    "| standardised | other indices |"
)
NUMBERS = "| parameter | estimate: lavaan | roxmodel | difference | se: lavaan | roxmodel | difference |"
TESTS = ("chisq", "chisq.scaled")


def line(name: str, verbose: bool) -> str:
    """Fit one case and say its differences in one row."""
    case = parity.read_case(name)
    try:
        fit = parity.fit_case(case)
        gaps = parity.compare(case, fit)
    except parity.NoRowsError as why:
        return f"| {name} | | | | | {why} | | | | |"
    except Exception as error:  # the table goes on; the tests fail
        return f"| {name} | | | | | **{type(error).__name__}** {str(error)[:160]} | | | | |".replace("\n", " ")
    test = "chisq.scaled" if "chisq.scaled" in case["fit"] else "chisq"
    theirs, ours = float(case["fit"][test]), float(fit.indices()[parity.INDICES[test]])
    others = {k: abs(v) for k, v in gaps.indices.items() if k not in TESTS}
    worst = max(others, key=lambda k: others[k] if others[k] == others[k] else float("inf")) if others else ""
    text = (
        f"| {name} | {theirs:.6f} | {ours:.6f} | {abs(ours - theirs):.0e} | {gaps.rows} | {gaps.estimate_in_se:.0e} "
        f"| {gaps.estimate:.0e} | {gaps.se:.0e} | {gaps.standardized:.0e} | {others.get(worst, 0.0):.0e} ({worst}) |"
    )
    if verbose:
        text += f"\n    worst: {gaps.worst}\n    missing: {gaps.missing}"
        text += f"\n    indices: { {k: f'{v:.2e}' for k, v in gaps.indices.items() if not abs(v) < 1e-6} }"
    return text


def numbers(name: str) -> str:
    """Edges and defined parameters of one case, lavaan's beside ours."""
    case = parity.read_case(name)
    fit = parity.fit_case(case)
    table = fit.parameters()
    lines = [f"\n{name}\n\n{NUMBERS}", "|" + "---|" * (NUMBERS.count("|") - 1)]
    for row in rows_of(case["parameters"]):
        if row["op"] == "~":
            own = table[(table["kind"] == "edge") & (table["left"] == row["rhs"]) & (table["right"] == row["lhs"])]
        elif row["op"] == ":=":
            own = table[(table["kind"] == "defined") & (table["left"] == row["lhs"])]
        else:
            continue
        ours, se = float(own["estimate"].iloc[0]), float(own["se"].iloc[0])
        lines.append(
            f"| {row['lhs']} {row['op']} {row['rhs']} | {row['est']:.7f} | {ours:.7f} | {abs(ours - row['est']):.0e} "
            f"| {row['se']:.7f} | {se:.7f} | {abs(se - row['se']):.0e} |"
        )
    return "\n".join(lines)


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Columns as rows."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def main() -> None:
    verbose, wanted = "-v" in sys.argv, "--numbers" in sys.argv
    asked = [name for name in sys.argv[1:] if not name.startswith("-")]
    if wanted:
        sys.stdout.write("\n".join(map(numbers, asked or ["pd_ml", "chain_defined"])) + "\n")
        return
    sys.stdout.write(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}\n")
    for name in asked or parity.CASES:
        sys.stdout.write(line(name, verbose) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
