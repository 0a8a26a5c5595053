"""The chain from what was learnt from back to the source, in words, as Markdown, as JSON."""

from ml_assets.core.lineage import Content, as_markdown


def chain() -> Content:
    raw = [
        Content("trips/raw", m, d * 64, rows=10, source={"source": f"/x|y/{m}.parquet", "sha256": d * 64})
        for m, d in (("2019-01", "a"), ("2019-02", "b"))
    ]
    valid = [Content("trips/validated", r.partition, "c" * 64, rows=9, made_from=(r,)) for r in raw]
    return Content("p/features", "2019-02", "f" * 64, rows=9, run_id="r", made_from=tuple(valid))


def test_in_words_each_link_stands_under_what_was_made_from_it():
    assert list(chain().in_words()) == [
        "p/features 2019-02  ffffffffffff, 9 rows",
        "  trips/validated 2019-01  cccccccccccc, 9 rows",
        "    trips/raw 2019-01  aaaaaaaaaaaa, 10 rows",
        f"      /x|y/2019-01.parquet  SHA-256 {'a' * 64}",
        "  trips/validated 2019-02  cccccccccccc, 9 rows",
        "    trips/raw 2019-02  bbbbbbbbbbbb, 10 rows",
        f"      /x|y/2019-02.parquet  SHA-256 {'b' * 64}",
    ]


def test_as_markdown_with_links_to_the_ui():
    *_, january, february = as_markdown([chain()]).splitlines()
    for line, month in ((january, "2019-01"), (february, "2019-02")):
        assert "[2019-02 `ffffffffffff`](/assets/p/features?partition=2019-02)" in line
        assert f"(/assets/trips/validated?partition={month})" in line
        assert f"(/assets/trips/raw?partition={month})" in line
        assert f"| /x\\|y/{month}.parquet |" in line
        assert line.count(" | ") == 4


def test_what_the_event_log_does_not_know_is_said():
    lost = Content("p/features", "2019-02", "f" * 64, known=False)
    assert list(lost.in_words()) == ["p/features 2019-02  ffffffffffff (not in the event log)"]
    assert "not in the event log" in as_markdown([lost])


def test_as_json_the_whole_chain():
    told = chain().to_json()
    assert told["made_from"][0]["made_from"][0]["source"]["sha256"] == "a" * 64
