"""The report: its sentences, its charts, what it does with young, long, single and hostile replays."""

import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from ml_assets.core.report import headline, render
from ml_assets.core.summary import DecisionSummary, PartitionSummary, Summary, TrainingSummary, Worth

URL = "http://127.0.0.1:3000"
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}
RULES = ("trip_minutes_between", "trip_miles_gt", "fare_usd_ge", "passengers_not_null", "trip_id_unique")


def month(i: int) -> str:
    return f"{2018 + i // 12}-{i % 12 + 1:02d}"


def bundle(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def replay(months: int = 30) -> Summary:
    """A made-up replay: champion from 2019-01 on, a shift in 2020-03, retraining at the end of 03 and 04."""
    error = "realised error {} above its bound 3.25 in 2 of the last 3 partitions"
    drift = "drift verdict `drifted` in 2 of the last 3 partitions: speed_mph, pickup_zone"
    trained = {
        "2018-12": ("no champion yet", "promote", 3.02, 7.61),
        "2019-08": (error.format(3.31), "reject", 3.04, 3.05),
        "2020-03": (drift, "promote", 3.9, 6.5),
        "2020-04": (error.format(4.02), "promote", 3.27, 6.1),
    }
    champion: str | None = None
    first: str | None = None
    partitions, trainings = [], []
    for i in range(months):
        key, wave = month(i), ((i * 37) % 11 - 5) / 40
        raw = 10_000 if i < 27 else 4_200 + 310 * (i - 27)
        passengers = 0 if i < 18 else 190 + (i * 53) % 140
        broken = (96 + (i * 17) % 31, 70 + (i * 29) % 90, 4 + i % 7, passengers, max(0, 3 * (i - 26)))
        reasons = {rule: n for rule, n in zip(RULES, broken, strict=True) if n}
        quarantined = sum(reasons.values()) - 11
        shift = i - 26 if i >= 26 else None
        never = 2.98 + wave if shift is None else (3.62, 4.71, 4.44, 4.12)[min(shift, 3)]
        live = never if first == champion else (3.62, 4.02, 3.31, 3.22)[min(shift or 0, 3)]
        verdict = None if champion is None else {14: "not_enough_rows"}.get(i, "stable")
        verdict = "drifted" if i in {26, 27, 28} else verdict
        partitions.append(
            PartitionSummary(
                partition=key,
                rows_raw=raw,
                rows_validated=raw - quarantined,
                rows_quarantined=quarantined,
                quarantine_reasons=reasons,
                champion=champion,
                metric=live if champion else None,
                metric_never_retrained=never if champion else None,
                metric_naive=(7.6 + 2 * wave if shift is None else 6.3 + wave) if champion else None,
                drift_verdict=verdict,
                drifted_features=["speed_mph", "pickup_zone", "prediction"] if verdict == "drifted" else [],
            )
        )
        if key in trained:
            reason, decision, metric, naive = trained[key]
            trainings.append(
                TrainingSummary(
                    as_of=key,
                    reason=reason,
                    decision=decision,  # type: ignore[arg-type]
                    reasons=[f"mae {metric:.4g} on the holdout against {naive:.4g} of the naive baseline"],
                    bundle=bundle(key),
                    rows=104_233 + 700 * i,
                    seconds=4.2 + i / 10,
                    holdout_metric=metric,
                    holdout_metric_naive=naive,
                )
            )
            if decision == "promote":
                champion = bundle(key)
                first = first or champion
    return Summary(
        pipeline="trip_duration",
        source="simulated",
        metric="mae",
        unit="minutes",
        label="trip_minutes",
        partitions=partitions,
        trainings=trainings,
        seconds=252.4,
    )


class Page(HTMLParser):
    """Start tags with their attributes; fails on tags that don't nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str, cls: str) -> int:
        return sum(t == tag and cls in (a.get("class") or "").split() for t, a in self.tags)


def page(summary: Summary) -> Page:
    return Page(render(summary, graph_url_hint=URL))


def with_first(summary: Summary, **changes: Any) -> Summary:
    """The summary with its first partition changed."""
    return replace(summary, partitions=[replace(summary.partitions[0], **changes), *summary.partitions[1:]])


def test_headline_gives_the_numbers_that_matter() -> None:
    means = replay().comparison()
    assert headline(replay()) == (
        f"Over 18 months the live champion was off by {means.live:.2f} minutes on average; "
        f"never retraining would have cost {means.never_retrained:.2f}, the naive median {means.naive:.2f}."
    )


OFF = "the live champion was off by 3.05 minutes on average"
COST = "never retraining would have cost 3.28"
KEPT = "90 of 100 rows kept their contract."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"metric_never_retrained": None}, f"Over 1 month {OFF}, the naive median by 7.40."),
        ({"metric_naive": None}, f"Over 1 month {OFF}; {COST}."),
        ({"metric_naive": None, "metric_never_retrained": None}, f"Over 1 month {OFF}."),
        ({"metric": None}, f"A champion is live, but its error is not known yet; {KEPT}"),
        ({"champion": None}, f"No model has been released yet; over 1 month, {KEPT}"),
        ({"partition": "2019-W07"}, f"Over 1 partition {OFF}; {COST}, the naive median 7.40."),
    ],
)
def test_headline_says_only_what_is_known(changes: dict[str, Any], expected: str) -> None:
    one = PartitionSummary("2019-01", 100, 90, 10, {}, "c", 3.05, 3.28, 7.4, None, [])
    summary = Summary("p", "s", "mae", "minutes", "y", [replace(one, **changes)], [], 1.0)
    assert headline(summary) == expected
    assert expected in "".join(page(summary).text)


def test_headline_of_another_metric_and_scale() -> None:
    one = PartitionSummary("2019-01", 100, 90, 10, {}, "c", 1234.5, 0.0, None, None, [])
    assert headline(Summary("p", "s", "rmse", "", "y", [one], [], 1.0)) == (
        "Over 1 month the live champion had RMSE 1,234; never retraining would have cost 0."
    )
    assert headline(Summary("p", "s", "mae", "", "y", [], [], 1.0)) == "No data has landed yet."


def test_every_figure_has_its_place() -> None:
    summary = replay()
    html, got = render(summary, graph_url_hint=URL), page(summary)
    known = sum(p.metric is not None for p in summary.partitions)
    assert known == 18
    points = [a for t, a in got.tags if t == "circle"]
    assert len(points) == known  # live champion
    assert got.count("path", "line") == 3
    assert got.count("g", "training") == len(summary.trainings)
    assert got.count("g", "reject") == 1
    assert got.count("rect", "column") == 2 * len(summary.partitions)
    assert got.count("rect", "drifted") == 3 + 1  # and the legend's
    for t in summary.trainings:
        assert f'title="{t.bundle}"' in html
        assert t.reasons[0] in html
    for rule in RULES:
        assert rule.replace("_", "_<wbr>") in html
    assert "<title>2020-05: live champion 3.31</title>" in html
    assert "make dev" in html
    assert f'<a href="{URL}">' in html


def test_points_lie_where_their_values_are() -> None:
    got = page(replay())
    ys = [float(a["cy"] or "nan") for t, a in got.tags if t == "circle"]
    values = [p.metric for p in replay().partitions if p.metric is not None]
    by_value = [y for _, y in sorted(zip(values, ys, strict=True))]
    assert by_value == sorted(ys, reverse=True)
    assert len(set(ys)) > 5


def test_rows_that_do_not_add_up_are_an_alert() -> None:
    assert "add up.</b>" not in render(replay(), graph_url_hint=URL)
    html = render(with_first(replay(), rows_raw=9_999), graph_url_hint=URL)
    assert 'role="alert"' in html
    assert "in 2018-01." in html
    assert "is accounted for" not in html


def test_self_contained_and_the_same_every_time() -> None:
    html = render(replay(), graph_url_hint=URL)
    assert html == render(Summary.from_json(replay().to_json()), graph_url_hint=URL)
    addresses = {"src", "href", "srcset", "action"}
    outside = [value for _, a in Page(html).tags for name, value in a.items() if name in addresses]
    assert [v for v in outside if v and not v.startswith(("#", "data:"))] == [URL, "summary.json"]
    assert not re.search(r"<script|@import|url\(|\bon[a-z]+=", html)


def with_worth(summary: Summary, words: str) -> Summary:
    """The summary with a worth of its last training."""
    worth = Worth(0.31, 0.27, 0.35, 12_000, 3, 3, True, words)
    return replace(summary, trainings=[*summary.trainings[:-1], replace(summary.trainings[-1], worth=worth)])


def test_what_a_retraining_was_worth_stands_beside_it() -> None:
    words = "this retraining was worth +0.31 ± 0.04 minutes per row (3 of 3 partitions, 12,000 rows): it helped"
    text = "".join(page(with_worth(replay(), words)).text)
    assert text.count(words) == 2, "beside the training, and of the live bundle"
    assert "on the first partitions that the champion which it replaced scored too" in text
    rejected = replace(replay(), trainings=replay().trainings[:2])
    assert "".join(page(with_worth(rejected, words)).text).count(words) == 1
    without = page(replay())
    assert "Worth" not in "".join(without.text)
    columns = [t for t, _ in page(with_worth(replay(), words)).tags if t in ("th", "td")]
    assert len(columns) == len([t for t, _ in without.tags if t in ("th", "td")]) + 1 + len(replay().trainings)


HOSTILE = """"><script>alert(1)</script><img src=x onerror='a()'>{{ 7*7 }} </title></style>"""


def test_hostile_names_stay_text() -> None:
    base = replay()
    summary = Summary(
        pipeline=HOSTILE,
        source=HOSTILE,
        metric=HOSTILE,
        unit=HOSTILE,
        label=HOSTILE,
        partitions=[
            replace(
                p,
                partition=HOSTILE + str(i),
                champion=HOSTILE,
                drift_verdict=HOSTILE,
                drifted_features=[HOSTILE],
                quarantine_reasons={HOSTILE: 1},
            )
            for i, p in enumerate(base.partitions)
        ],
        trainings=[
            replace(t, as_of=HOSTILE + "3", reason=HOSTILE, reasons=[HOSTILE], bundle=HOSTILE) for t in base.trainings
        ],
        seconds=1,
    )
    summary = with_worth(with_first(summary, rows_raw=1), HOSTILE)
    html = render(summary, graph_url_hint="javascript:alert(1)//" + HOSTILE)
    got, calm = Page(html), page(base)
    assert {t for t, _ in got.tags} <= {t for t, _ in calm.tags}
    assert not any(name.startswith("on") for _, a in got.tags for name in a)
    links = [a["href"] or "" for t, a in got.tags if t == "a"]
    assert [link for link in links if not link.startswith("#")] == ["summary.json"]
    assert "{{ 7*7 }}" in html
    assert "49" not in "".join(got.text).split()


@pytest.mark.parametrize("months", [0, 1, 2, 12, 13, 26, 200])
def test_any_length_gives_a_whole_page(months: int) -> None:
    summary = replay(months)
    got = page(summary)
    charts = 0 if not months else 1 if months < 12 else 2  # of errors there is none before the first training
    assert got.count("svg", "chart") == charts
    assert got.count("rect", "column") == charts * months
    ticks = [a for t, a in got.tags if t == "text" and a["class"] == "tick" and a["text-anchor"] == "middle"]
    xs = sorted({float(a["x"] or "nan") for a in ticks})
    assert all(b - a >= 60 for a, b in pairwise(xs))  # a key of seven digits is 50 wide
    assert len(xs) <= 18
    assert bool(xs) == bool(months)
    assert "nan" not in " ".join(v or "" for _, a in got.tags for v in a.values())


def test_young_replay_says_what_is_missing() -> None:
    text = " ".join("".join(page(replay(12)).text).split())
    assert "Nothing to compare yet".lower() in text
    eleven = " ".join("".join(page(replay(11)).text).split())
    assert "Nothing has been trained yet." in eleven
    assert "none: no training has been promoted" in eleven
    assert "No partition has an error, a drift verdict or a training yet." in eleven
    assert "error not known yet" in eleven
    assert "No row broke a rule." not in eleven
    assert "No row broke a rule." in "".join(page(with_first(replay(1), quarantine_reasons={})).text)


def test_missing_values_and_changed_columns_are_shown_by_partition() -> None:
    told = with_first(
        replay(2), missing_values={"passengers": 812, "vendor": 7}, schema_changes=["fee appeared: double"]
    )
    text = " ".join("".join(page(told).text).split())
    section = text[text.index("What is missing") :]
    assert "812" in section
    assert section.index("passengers") < section.index("vendor")
    assert f"{told.partitions[0].partition} fee appeared: double" in section
    without = " ".join("".join(page(replay(2)).text).split())
    assert "No value is missing in a validated row." in without
    assert "The source’s columns changed" not in without


def test_a_champion_never_replaced_made_no_difference() -> None:
    assert "no difference so far" in "".join(page(replay(13)).text)
    assert "no difference so far" not in "".join(page(replay()).text)


def test_retraining_that_did_harm_is_said() -> None:
    one = PartitionSummary("2019-01", 100, 100, 0, {}, "c", 4.0, 3.0, 2.0, None, [])
    text = " ".join("".join(page(Summary("p", "s", "mae", "", "y", [one], [], 1.0)).text).split())
    assert "retraining cost 33.3 %" in text
    assert "champion 100.0 % worse" in text
    assert "−1.00" in text


def test_every_decision_of_the_sensor_is_shown_with_its_reasons():
    decided = [
        DecisionSummary("2019-02-01T00:00:00+00:00", "ignore", "", ["nothing is stale"]),
        DecisionSummary(
            "2020-05-01T00:00:00+00:00", "retrain", "refit as of 2020-04 on 3 partitions", ["2 of 3 <drifted>", "refit"]
        ),
    ]
    page = render(replace(replay(), decisions=decided), graph_url_hint=URL)
    section = page[page.index('<section id="decisions">') : page.index('<section id="partitions">')]
    for told in (
        "2019-02-01",
        "ignore",
        "nothing is stale",
        "refit as of 2020-04 on 3 partitions",
        "2 of 3 &lt;drifted&gt;",
    ):
        assert told in section
    assert "Nothing has been decided by itself" in render(replay(), graph_url_hint=URL)
