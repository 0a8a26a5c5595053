"""Paper and ink of pictures: figures, colours, text, and PNG bytes that depend on nothing but what was drawn.

What is drawn is in `pictures`, `evaluation_pictures` and `drift.pictures`.
"""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any kind of colour vision.
COLORS = {
    "candidate": "#009E73", "champion": "#0072B2", "train": "#999999", "validation": "#0072B2",
    "never_retrained": "#E69F00", "naive": "#999999", "naive_by_key": "#CC79A7", "last_value": "#56B4E9",
    "linear": "#E69F00", "replaced": "#CC79A7",
}  # fmt: skip
ACCENT = "#D55E00"
DPI = 80
MOST_BARS = 24
"""As many as a day has hours."""
MOST_LETTERS = 40


def sheet(title: str, height: float = 3.6) -> "tuple[Figure, Any]":
    """A figure with a title and one pair of axes; height in inches."""
    figure, (axes,) = sheets(title, 1, height)
    return figure, axes


def sheets(title: str, count: int, height: float = 3.6) -> "tuple[Figure, Any]":
    """A figure with a title and axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    figure.suptitle(as_text(title), fontsize=11)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def panels(
    title: str, count: int, across: int, height: float = 1.9, *, legend: bool = False
) -> "tuple[Figure, list[Any]]":
    """A figure with small axes in rows of `across`.

    Args:
        title: of all.
        count: how many.
        across: in a row.
        height: of a row, in inches.
        legend: whether there is to be room for a legend outside of them. Margins are found then, which takes as long
            as to draw.
    """
    from matplotlib.figure import Figure

    down = max(-(-count // across), 1)
    tall = 0.85 + height * down
    figure = Figure(figsize=(7.2, tall), dpi=DPI, layout="constrained" if legend else None)
    every = list(figure.subplots(down, across, squeeze=False).ravel())
    if not legend:
        figure.subplots_adjust(left=0.09, right=0.99, top=1 - 0.75 / tall, bottom=0.6 / tall, wspace=0.25, hspace=0.75)
    figure.suptitle(as_text(title), fontsize=11)
    for i, one in enumerate(every):
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=7)
        one.set_visible(i < count)
    return figure, every[:count]


def apart(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis, far enough apart to be divided where all values are the same."""
    room = 1e-6 * max(1.0, abs(low), abs(high))
    return (low, high) if high - low > room else (low - room, high + room)


def shortened(name: str) -> str:
    """A name's beginning and end where it is long: names in a series often differ in their last letters."""
    half = MOST_LETTERS // 2
    return as_text(name if len(name) <= MOST_LETTERS else f"{name[: half - 1]}…{name[-half:]}")


def with_unit(unit: str, what: str) -> str:
    """What an axis shows, with its unit if it has one."""
    return as_text(f"{what}, {unit}" if unit else what)


def as_text(given: str) -> str:
    """Text as it is: between two dollar signs matplotlib would read a formula, and fail on most regular expressions."""
    return given.replace("$", r"\$")


def png(figure: "Figure") -> bytes:
    """A figure as PNG, without anything of the machine or library that drew it.

    With a palette, which takes a third of the bytes: previews are part of Dagster's event log.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    out = io.BytesIO()
    drawn.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()
