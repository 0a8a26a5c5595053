"""The data dictionary: what it says of each column and rule, and a page that holds whatever a schema says."""

import re
from datetime import date, datetime
from html.parser import HTMLParser
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.dictionary import DictionaryEntry, dictionary_rows, render_dictionary, row_rules, type_in_words
from ml_assets.core.errors import ConfigError

VOID = {"meta", "link", "wbr"}


class Ride(pa.DataFrameModel):
    """One ride.

    Source: made up
    for this test.
    """

    started_at: datetime = column(source="start", unit="local time", description="meter engaged")
    ended_at: datetime = column(source="end", known_at="ended_at")
    ride_miles: float = column(source="miles", gt=0, lt=100, unit="miles", description="by the  meter")
    ride_minutes: float = column(
        derived=(pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() / 60,
        in_range=(1, 180),
        known_at="ended_at",
    )
    riders: int = column(nullable=True, isin=[1, 2, 4])
    tip_usd: float = column(nullable=True, required=False, ge=0)

    class Config:
        unique = ("started_at", "riders")

    @pa.check("riders")
    def seated(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """Riders have seats."""
        return data.lazyframe.select(pl.col(data.key) < 5)

    @pa.dataframe_check
    def ends_after_start(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The ride ended after it started."""
        return data.lazyframe.select(pl.col("ended_at") > pl.col("started_at"))

    @pa.dataframe_check
    def paid(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("tip_usd") < 1000)


RIDE = Contract.from_model(Ride)


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

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [a[attribute] or "" for _, a in self.tags if attribute in a]


def page(contract: Contract = RIDE, table: str = "rides", event_time: str = "started_at") -> Page:
    return Page(render_dictionary(table, contract, event_time))


def test_each_column_is_told_in_words() -> None:
    entries = dictionary_rows(RIDE, "started_at")
    assert [e.column for e in entries] == list(RIDE.schema)
    started, ended, miles, minutes, riders, tip = entries
    assert miles == DictionaryEntry(
        column="ride_miles",
        type="number (Float64)",
        unit="miles",
        constraints="> 0; < 100",
        missing="never missing",
        source="miles",
        known_at="started_at",
        description="by the meter",
        rules=("ride_miles_type", "ride_miles_not_null", "ride_miles_finite", "ride_miles_gt", "ride_miles_lt"),
    )
    assert started.known_at == "started_at"
    assert ended.known_at == "ended_at, after the event"
    assert minutes.source == "computed: ([ended_at - started_at].dt.total_seconds()) / 60"
    assert (riders.unit, riders.description, riders.missing) == ("", "", "may be missing")
    assert riders.constraints == "one of 1, 2, 4; keeps the check “seated”"
    assert tip.missing == "may be missing; the source need not have the column"


def test_a_column_names_every_rule_that_reads_it() -> None:
    named = {e.column: e.rules for e in dictionary_rows(RIDE, "started_at")}
    assert named["started_at"] == (
        "started_at_type", "started_at_not_null", "ends_after_start", "unique", "started_at_in_partition",
    )  # fmt: skip
    assert named["riders"] == ("riders_type", "riders_isin", "riders_seated", "unique")
    assert "paid" in named["tip_usd"]
    everything = {rule.name for rule in RIDE.rules_for("started_at")}
    assert set().union(*named.values()) == everything


def test_rules_of_the_whole_row_are_a_list_of_their_own() -> None:
    assert [rule.name for rule in row_rules(RIDE, "started_at")] == [
        "ends_after_start", "paid", "unique", "started_at_in_partition",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (pl.UInt8(), "integer (UInt8)"),
        (pl.Float32(), "number (Float32)"),
        (pl.Decimal(10, 2), "number (Decimal(precision=10, scale=2))"),
        (pl.Boolean(), "true or false (Boolean)"),
        (pl.String(), "text (String)"),
        (pl.Enum(["a", "b"]), "category (Enum(categories=['a', 'b']))"),
        (pl.Datetime("ms", "UTC"), "date and time (Datetime in ms, UTC)"),
        (pl.Date(), "date (Date)"),
        (pl.List(pl.Int64), "list (List(Int64))"),
        (pl.Null(), "Null"),
    ],
)
def test_types_in_words(dtype: pl.DataType, words: str) -> None:
    assert type_in_words(dtype) == words


def test_an_unfit_event_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="event_time 'riders'"):
        render_dictionary("rides", RIDE, "riders")


def test_every_column_and_rule_has_a_place_that_can_be_linked_to() -> None:
    got = page()
    ids = got.values("id")
    assert len(ids) == len(set(ids))
    for c in RIDE.columns:
        assert f"column-{c.name}" in ids
    for rule in RIDE.rules_for("started_at"):
        assert f"rule-{rule.name}" in ids
    inside = [link for link in got.values("href") if link.startswith("#")]
    assert {link[1:] for link in inside} <= set(ids)


def test_the_page_says_all_that_the_entries_say() -> None:
    got = page()
    text = "".join(got.text)
    for entry in dictionary_rows(RIDE, "started_at"):
        for said in (
            entry.type,
            entry.unit,
            entry.constraints,
            entry.missing,
            entry.source,
            entry.known_at,
            *entry.rules,
        ):
            assert said in text
    for rule in RIDE.rules_for("started_at"):
        assert rule.description in text
    assert "<h1>One ride.</h1>" in render_dictionary("rides", RIDE, "started_at")
    assert "Source: made up for this test." in text


def test_the_page_needs_nothing_and_is_the_same_every_time() -> None:
    html = render_dictionary("rides", RIDE, "started_at")
    assert html == render_dictionary("rides", Contract.from_model(Ride), "started_at")
    outside = [v for name in ("src", "href", "srcset") for v in Page(html).values(name)]
    assert [v for v in outside if not v.startswith(("#", "data:,"))] == []
    assert not re.search(r"<script|@import|url\(|\bon[a-z]+=", html)


def test_the_page_is_read_in_the_dark_on_a_phone_and_with_its_header_in_sight() -> None:
    html = render_dictionary("rides", RIDE, "started_at")
    assert "prefers-color-scheme: dark" in html
    assert "width=device-width" in html
    assert "position: sticky" in html
    assert "max-width: 1080px" in html
    cells = [a for tag, a in page().tags if tag == "td"]
    assert all(a.get("data-label") for a in cells), "a card shows no header row: each cell names itself"


def test_a_model_without_words_has_a_page() -> None:
    class Bare(pa.DataFrameModel):
        at: datetime

    got = page(Contract.from_model(Bare), "bare", "at")
    assert "bare" in got.text
    assert "column-at" in got.values("id")


HOSTILE = """"><script>alert(1)</script><img src=x onerror='a()'>{{ 7*7 }} </title></style>"""


def test_hostile_names_stay_text() -> None:
    fields: dict[str, Any] = {
        "at": column(description=HOSTILE, unit=HOSTILE, source=HOSTILE + "2"),
        HOSTILE: column(isin=[HOSTILE], nullable=True),
        HOSTILE.replace("(", "["): column(),
        "seen": column(derived=pl.col(HOSTILE).str.contains(HOSTILE, literal=True)),
    }
    types = {"at": datetime, HOSTILE: str, HOSTILE.replace("(", "["): date, "seen": bool}
    model = type(HOSTILE, (pa.DataFrameModel,), {"__annotations__": types, "__doc__": HOSTILE, **fields})
    contract = Contract.from_model(model)
    html = render_dictionary(HOSTILE, contract, "at")
    got = Page(html)
    assert {t for t, _ in got.tags} <= {t for t, _ in page().tags}
    assert not any(name.startswith("on") for _, a in got.tags for name in a)
    ids = got.values("id")
    assert len(ids) == len(set(ids)), "unlike names have places of their own"
    assert not any(re.search(r"\s", i) for i in ids)
    assert {link[1:] for link in got.values("href") if link.startswith("#")} <= set(ids)
    assert "{{ 7*7 }}" in html
