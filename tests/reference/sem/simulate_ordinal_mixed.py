"""Write data/ordinal_mixed.csv: 400 people, one factor, four items of four categories, two binary, two continuous."""

from pathlib import Path

import numpy as np

CUTS = {
    "o1": [-1.0, 0.0, 1.0],
    "o2": [-1.6, -0.8, 0.4],
    "o3": [-0.3, 0.5, 1.4],
    "o4": [-1.2, -0.2, 0.3],
    "b1": [0.4],
    "b2": [-0.9],
}
LOADINGS = [0.8, 0.7, 0.6, -0.5, 0.7, 0.6, 0.75, 0.5]


def main() -> None:
    rng = np.random.default_rng(20040914)
    loading = np.array(LOADINGS)
    factor, error = rng.standard_normal((400, 1)), rng.standard_normal((400, 8))
    latent = factor * loading + error * np.sqrt(1.0 - loading**2)
    columns = [np.digitize(latent[:, j], cuts) + 1.0 for j, cuts in enumerate(CUTS.values())]
    columns += [5.0 + 2.0 * latent[:, 6], np.expm1(0.3 * latent[:, 7])]  # normal; slightly skew
    rows = zip(*columns, strict=True)
    lines = [",".join([*(f"{v:.0f}" for v in row[:6]), *(f"{v:.5f}" for v in row[6:])]) for row in rows]
    text = "\n".join([",".join([*CUTS, "c1", "c2"]), *lines, ""])
    (Path(__file__).parent / "data" / "ordinal_mixed.csv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
