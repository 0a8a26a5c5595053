"""Both charts: every known figure drawn once, at its place; nothing drawn for what is not known."""

from dataclasses import replace
from itertools import pairwise

import pytest

from ml_assets.core.report_chart import error_chart, rows_chart
from ml_assets.core.summary import PartitionSummary, Summary, TrainingSummary

PARTITIONS = [
    PartitionSummary("2019-01", 100, 90, 10, {"r": 10}, None, None, None, None, None, []),
    PartitionSummary("2019-02", 100, 60, 40, {"r": 40}, "a" * 64, 3.0, 3.0, 7.0, "stable", []),
    PartitionSummary("2019-03", 0, 0, 0, {}, "a" * 64, None, None, None, "not_enough_rows", []),
    PartitionSummary("2019-04", 50, 50, 0, {}, "b" * 64, 4.0, 3.5, 7.5, "drifted", ["speed_mph", "zone"]),
]
TRAININGS = [
    TrainingSummary("2019-01", "first", "promote", ["good"], "a" * 64, 90, 1.0, 3.1, 7.2),
    TrainingSummary("2018-01", "before the replay", "reject", ["bad"], "c" * 64, 90, 1.0, 3.1, 7.2),
    TrainingSummary("2019-03", "drift", "promote", ["good"], "b" * 64, 90, 1.0, None, None),
]
SUMMARY = Summary("p", "s", "mae", "minutes", "y", PARTITIONS, TRAININGS, 1.0)


def write(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def test_lines_have_a_point_for_each_known_error() -> None:
    chart = error_chart(SUMMARY, naive="naive median", figure=write)
    drawn = {line.kind: len(line.points) for line in chart.lines}
    assert drawn == {"live": 2, "never": 2, "naive": 2}
    live = chart.lines[0]
    assert [p.title for p in live.points] == ["2019-02: live champion 3.0", "2019-04: live champion 4.0"]
    assert [p.x for p in live.points] == [chart.bands.middle(1), chart.bands.middle(3)]
    assert [p.y for p in live.points] == [chart.panel.y(3.0), chart.panel.y(4.0)]
    assert live.path.count("M") == 2  # not drawn across the unknown month
    assert min(b - a for a, b in pairwise(sorted(line.name_y for line in chart.lines))) >= 17


def test_a_series_nobody_measured_has_no_line() -> None:
    partitions = [replace(p, metric_never_retrained=None) for p in PARTITIONS]
    chart = error_chart(replace(SUMMARY, partitions=partitions), naive="naive median", figure=write)
    assert [line.kind for line in chart.lines] == ["live", "naive"]
    assert chart.saved is None
    assert chart.saved_bars == ()


def test_trainings_stand_at_the_end_of_their_partition() -> None:
    chart = error_chart(SUMMARY, naive="naive median", figure=write)
    places = [(t.x, t.kind) for t in chart.trainings]
    assert places == [(chart.bands.start(1), "promote"), (chart.bands.start(3), "promote")]
    assert chart.trainings[1].title.splitlines() == [
        "trained as of 2019-03: promote",
        "why: drift",
        "bundle bbbbbbbbbb, holdout none, naive none",
    ]


def test_drift_and_columns_say_what_happened() -> None:
    chart = error_chart(SUMMARY, naive="naive median", figure=write)
    assert [d.title for d in chart.drift] == [
        "2019-02: stable",
        "2019-03: not enough rows",
        "2019-04: drifted in speed_mph, zone",
    ]
    assert len(chart.columns) == 4
    assert "champion: none yet" in chart.columns[0].title
    assert "naive median 7.5" in chart.columns[3].title


def test_saving_and_harm_point_in_opposite_directions() -> None:
    better = replace(PARTITIONS[1], metric=2.0)
    chart = error_chart(replace(SUMMARY, partitions=[better, PARTITIONS[3]]), naive="n", figure=write)
    assert chart.saved is not None
    gain, loss = chart.saved_bars
    zero = chart.saved.y(0)
    assert (gain.kind, loss.kind) == ("gain", "loss")
    assert gain.y + gain.height == pytest.approx(zero)
    assert loss.y == pytest.approx(zero)
    assert loss.height == pytest.approx(gain.height / 2)


def test_rows_are_stacked_without_gap() -> None:
    chart = rows_chart(SUMMARY)
    for valid, bad, p in zip(chart.validated, chart.quarantined, PARTITIONS, strict=True):
        assert bad.y + bad.height == pytest.approx(valid.y)
        assert valid.y + valid.height == pytest.approx(chart.panel.bottom)
        assert bad.height * p.rows_validated == pytest.approx(valid.height * p.rows_quarantined)
    assert len(chart.shares) == 3  # no share of an empty partition
    assert chart.shares[1].height == pytest.approx(4 * chart.shares[0].height)
    assert chart.columns[1].title == "2019-02\n60 rows validated\n40 quarantined (40.0 %)"
    assert chart.columns[2].title.endswith("0 quarantined")


def test_no_partition_gives_empty_charts() -> None:
    empty = replace(SUMMARY, partitions=[])
    assert error_chart(empty, naive="n", figure=write).lines == ()
    assert rows_chart(empty).columns == ()
