"""Draws what grows with the table, as SVG that can be read on light and on dark pages."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.growth import MEGABYTE, Size

_GREY, _COLOURS = "#7a828e", ("#2f81f7", "#d29922", "#8957e5")


Value = Callable[[Size], float]

_PICTURES: list[tuple[str, str, dict[str, Value]]] = [
    ("rate.svg", "rows a second", {"2 jobs, trivial task": lambda size: size.rate}),
    (
        "memory.svg",
        "coordinator's memory, MB",
        {
            "CSV": lambda size: size.csv / MEGABYTE,
            "Parquet": lambda size: size.parquet / MEGABYTE,
            "CSV, one row inserted on top": lambda size: size.inserted / MEGABYTE,
        },
    ),
    ("checkpoint.svg", "checkpoint, bytes a row", {"trivial task": lambda size: size.checkpoint / size.rows}),
]


def draw(sizes: Sequence[Size], folder: Path) -> list[tuple[str, Path]]:
    """Write the pictures; what each shows, and its path."""
    folder.mkdir(parents=True, exist_ok=True)
    return [(label, _plot(sizes, folder / name, label, lines)) for name, label, lines in _PICTURES]


def _plot(sizes: Sequence[Size], path: Path, label: str, lines: dict[str, Value]) -> Path:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "batchrun", "svg.fonttype": "path", "text.color": _GREY})
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    for (name, value), colour in zip(lines.items(), _COLOURS, strict=False):
        axes.plot([size.rows for size in sizes], [value(size) for size in sizes], "o-", label=name, color=colour)
    axes.set_xscale("log")
    axes.set_xticks([size.rows for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rows in the table", color=_GREY)
    axes.set_ylabel(label, color=_GREY)
    thousands = FuncFormatter(lambda number, _: f"{number:,.0f}")
    axes.xaxis.set_major_formatter(thousands)
    axes.yaxis.set_major_formatter(thousands)
    axes.tick_params(colors=_GREY)
    axes.grid(color=_GREY, alpha=0.25)
    axes.spines[:].set_color(_GREY)
    axes.legend(frameon=False, labelcolor=_GREY)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return path
