"""Draws how cost grows; run by the Python of an environment that has matplotlib.

`plots.py RESULTS FOLDER` writes `growth-<figure>.svg` for time, calls and memory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "the same lines give the same file"

from matplotlib import pyplot as plt  # noqa: E402 - the kind of picture is chosen before

FIGURES = {
    "wall": ("seconds", True),
    "calls": ("API calls", True),
    "peak_mb": ("peak memory, MB", False),
}

results = json.loads(Path(sys.argv[1]).read_text())["growth"]
for name, (label, is_logarithmic) in FIGURES.items():
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for plugin, lines in results.items():
        sizes = [line["size"] for line in lines]
        axes.plot(sizes, [line[name] for line in lines], marker="o", label=f"{plugin}-voucherify")
    axes.set(xscale="log", xlabel="customers", ylabel=label)
    if is_logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(
        Path(sys.argv[2]) / f"growth-{name.replace('_mb', '')}.svg", metadata={"Date": None}
    )
