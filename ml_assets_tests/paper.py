"""What tests of the graph draw on: pictures take longer than what they show, and have tests of their own."""

from collections.abc import Iterator

import numpy as np
import pytest


class Blank:
    """A figure, its axes, a canvas and all that is drawn on them in one: it takes whatever is asked of it."""

    def __init__(self, *_: object, **__: object) -> None:
        """Nothing is kept."""

    def __getattr__(self, name: str) -> "Blank":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> "Blank":
        return self

    def __getitem__(self, _: object) -> "Blank":
        return self

    def __iter__(self) -> Iterator["Blank"]:
        return iter((self, self))

    def subplots(self, rows: int, columns: int, **_: object) -> np.ndarray:
        return np.full((rows, columns), self)

    def get_width_height(self) -> tuple[int, int]:
        return 1, 1

    def buffer_rgba(self) -> bytes:
        return bytes(4)


def leave_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are a pixel: those of matplotlib are a third of a partition's time, and drawing them as much again."""
    monkeypatch.setattr("matplotlib.figure.Figure", Blank)
    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg", Blank)


def leave_undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are made with matplotlib, and not drawn."""
    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.draw", lambda blank: blank.get_renderer())
