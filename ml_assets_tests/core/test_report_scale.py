"""Axes: what they hold, how their labels are thinned, how names keep clear of each other."""

from itertools import pairwise

import pytest

from ml_assets.core.report_scale import Bands, labelled, panel, path, spread


@pytest.mark.parametrize(
    "values",
    [[], [0.0], [3.05, 7.4], [-0.4, 1.2], [1e-7, 3e-7], [0.1 + 0.2], [9_000_000.0, 1.0], [-5.0], [99.99999]],
)
def test_a_panel_holds_zero_and_all_values_between_few_round_ticks(values: list[float]) -> None:
    got = panel(values, top=10, height=200, ticks=5)
    for v in [0.0, *values]:
        assert 10 - 1e-6 <= got.y(v) <= 210 + 1e-6
    assert 2 <= len(got.ticks) <= 8
    assert len({t.text for t in got.ticks}) == len(got.ticks)
    assert all(len(t.text) <= 12 for t in got.ticks)


def test_greater_values_are_higher_up() -> None:
    got = panel([3.0, 8.0], top=0, height=80, ticks=4)
    assert (got.y(8.0), got.y(0.0), got.bottom) == (0.0, 80.0, 80.0)
    assert got.y(3.0) == pytest.approx(50.0)


def test_ticks_of_differences_carry_a_true_minus() -> None:
    ticks = panel([-0.4, 0.6], top=0, height=1, ticks=3).ticks
    assert [t.text for t in ticks] == ["−0.5", "0.0", "0.5", "1.0"]


def test_large_counts_are_shortened() -> None:
    def texts(high: float) -> list[str]:
        return [t.text for t in panel([high], top=0, height=1, ticks=2).ticks]

    assert texts(4_000) == ["0", "2,000", "4,000"]
    assert texts(20_000) == ["0", "10 k", "20 k"]
    assert texts(1_500_000) == ["0", "1 M", "2 M"]
    assert texts(2e9) == ["0", "1 G", "2 G"]


def test_bands_share_the_axis() -> None:
    bands = Bands(10, 110, 4)
    assert [bands.start(i) for i in range(5)] == [10, 35, 60, 85, 110]
    assert bands.middle(0) == 22.5
    assert Bands(10, 110, 0).width == 100


@pytest.mark.parametrize("count", [1, 7, 30, 200, 3000])
def test_labels_never_touch(count: int) -> None:
    band = 900 / count
    for keys in (
        [f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in range(count)],
        [f"2000-01-01-{i:05d}" for i in range(count)],
        ["x" * 500] * count,
    ):
        chosen = labelled(keys, band)
        assert chosen
        assert all((b - a) * band >= 7.2 * min(len(keys[0]), 24) for a, b in pairwise(chosen))


def test_months_are_labelled_from_january_even_with_gaps() -> None:
    keys = [f"{2018 + i // 12}-{i % 12 + 1:02d}" for i in range(4, 40) if i not in {12, 17}]
    assert {keys[i][5:] for i in labelled(keys, 20)} <= {"01", "07"}
    assert labelled(["2019-02"], 5) == [0]
    assert labelled([], 5) == []


def test_a_path_is_interrupted_where_a_value_is_unknown() -> None:
    assert path([]) == path([None]) == ""
    assert path([(0, 1), None, None, (2, 3), (4, 5)]) == "M0.0 1.0M2.0 3.0L4.0 5.0"


def test_names_keep_their_distance_and_their_order() -> None:
    assert spread([], 10) == []
    assert spread([5, 5, 5], 10) == [5, 15, 25]
    assert spread([30, 0, 4], 10) == [30, 0, 10]
