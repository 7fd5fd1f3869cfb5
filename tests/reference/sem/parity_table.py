"""Print the parity table: every reference case, the largest differences to lavaan.

``python tests/reference/sem/parity_table.py [case ...]`` prints markdown; ``-v`` names the worst rows.
"""

from __future__ import annotations

import sys
import time

import parity

HEAD = "| case | rows | estimates (in se) | estimates | se (relative) | standardised | chisq | others | seconds |"
TESTS = ("chisq", "chisq.scaled")


def line(name: str, verbose: bool) -> str:
    """Fit one case and say its differences in one row."""
    case = parity.read_case(name)
    start = time.perf_counter()
    try:
        fit = parity.fit_case(case)
        spent = time.perf_counter() - start
        gaps = parity.compare(case, fit)
    except parity.NoRowsError as why:
        return f"| {name} | | {why} | | | | | | |"
    except Exception as error:  # the table goes on; the tests fail
        return f"| {name} | | **{type(error).__name__}** {str(error)[:160]} | | | | | | |".replace("\n", " ")
    tests = max((abs(v) for k, v in gaps.indices.items() if k in TESTS), default=0.0)
    others = {k: abs(v) for k, v in gaps.indices.items() if k not in TESTS}
    worst = max(others, key=lambda k: others[k] if others[k] == others[k] else float("inf")) if others else ""
    text = (
        f"| {name} | {gaps.rows} | {gaps.estimate_in_se:.1e} | {gaps.estimate:.1e} | {gaps.se:.1e} "
        f"| {gaps.standardized:.1e} | {tests:.1e} | {others.get(worst, 0.0):.1e} ({worst}) | {spent:.2f} |"
    )
    if verbose:
        text += f"\n    worst: {gaps.worst}\n    missing: {gaps.missing}"
        text += f"\n    indices: { {k: f'{v:.2e}' for k, v in gaps.indices.items() if not abs(v) < 1e-6} }"
    return text


def main() -> None:
    verbose = "-v" in sys.argv
    asked = [name for name in sys.argv[1:] if name != "-v"]
    sys.stdout.write(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}\n")
    for name in asked or parity.CASES:
        sys.stdout.write(line(name, verbose) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
