"""What all plots share: style, colours, names at the ends of lines, SVG without changing bytes."""

from __future__ import annotations

import io
import re
from typing import Any

BLUE, RED, GREY, INK = "#2563a8", "#b3382c", "#9aa3ad", "#1c2530"
STYLE: Any = {
    "svg.fonttype": "none",  # real text: searchable, in the reader's own font
    "svg.hashsalt": "unshapley",
    "font.family": "sans-serif",
    "text.parse_math": False,  # a name may hold two $
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.constrained_layout.use": True,
}


def palette(count: int) -> list[Any]:
    """Colours for curves; neighbours in the list differ clearly."""
    import matplotlib as mpl

    return [mpl.colormaps["tab10"](i % 10) for i in range(count)]


def zero_line(axes: Any) -> None:
    """A line at zero, if the axes reach it."""
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color=GREY, lw=0.8)


def name_ends(axes: Any, ends: list[tuple[float, str, Any]], last: float) -> None:
    """Write names behind the ends of lines, apart from each other.

    ends: value, name and colour of each line at `last`, the largest on the horizontal axis.
    """
    low, high = axes.get_ylim()
    ends.sort()
    positions = _spread([value for value, _, _ in ends], (high - low) / 22)
    for y, (value, name, color) in zip(positions, ends, strict=True):
        axes.annotate(
            name,
            (last, value),
            (last * 1.03 + 1, y),
            color=color,
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.4},
            annotation_clip=False,
        )
    axes.set_xlim(right=last * 1.18 + 2)
    axes.set_ylim(low, high)


def _spread(values: list[float], gap: float) -> list[float]:
    """Ascending positions at least `gap` apart, centred on `values` (ascending)."""
    positions = list(values)
    for _ in range(500):
        for i in range(1, len(positions)):
            missing = gap - (positions[i] - positions[i - 1])
            if missing > 0:
                positions[i - 1] -= missing / 2
                positions[i] += missing / 2
    return positions


def styled() -> Any:
    """A context in which figures have our style."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """An empty figure and its axes; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(ncols=columns)


def as_svg(figure: Any) -> str:
    """The figure as SVG text, to stand in a page."""
    out = io.StringIO()
    with styled():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    # the text before <svg> (a doctype with an external address) is not allowed inside HTML
    svg = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
