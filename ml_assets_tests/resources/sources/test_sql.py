"""A database: rows of windows, types of columns, secrets, and each fault named with source, partition and cure."""

import sqlite3
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.core.errors import (
    ConfigError,
    SourceEmpty,
    SourceNotFound,
    SourceSchemaError,
    SourceUnreadable,
)
from ml_assets.core.windows import Window
from ml_assets.resources.sources.describing import source_columns
from ml_assets.resources.sources.interface import SqlSourceConfig, make_source
from ml_assets.resources.sources.sql import SqlSource
from ml_assets.resources.sources.sql_rows import Spool
from ml_assets.resources.sources.sql_url import resolve_url

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
APRIL = Window("2019-04", datetime(2019, 4, 1), datetime(2019, 5, 1))
QUERY = "SELECT * FROM trips WHERE at >= :start AND at < :end ORDER BY at, id;"
EXPECTED = {"id": pl.Int64(), "at": pl.Datetime("us"), "miles": pl.Float64(), "cash": pl.Boolean()}
ROWS = [
    (1, "2019-03-01 00:00:00", 1, 1, None),
    (2, "2019-03-01 00:00:00.000000", 2.5, 0, None),
    (3, "2019-03-31T23:59:59.5", None, None, None),
    (4, "2019-03-15 12:00:00", 3, 1, 7),
    (7, "2019-03-01", None, None, None),
    (5, "2019-04-01 00:00:00", 4, 1, 8),
    (6, "2019-04-01", 5, 1, 8),
]


@pytest.fixture
def database(tmp_path):
    with sqlite3.connect(tmp_path / "trips.db") as connection:
        connection.execute("CREATE TABLE trips (id INTEGER, at TEXT, miles, cash, late)")
        connection.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?)", ROWS)
    connection.close()
    return tmp_path / "trips.db"


def change(database, statement):
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    connection.close()


def source(tmp_path, url="sqlite:///trips.db", query=QUERY, **config):
    return make_source(SqlSourceConfig(kind="sql", url=url, query=query, **config), tmp_path)


def fetch(src, tmp_path, window=MARCH, expected=EXPECTED, **options):
    folder = tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    provenance = src.fetch(window, folder / "out", expected, **options)
    assert [p.name for p in folder.iterdir()] == ["out"]
    return pl.read_parquet(folder / "out"), provenance


def refused(error, src, tmp_path, *words, window=MARCH, expected=EXPECTED):
    folder = tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    with pytest.raises(error) as caught:
        src.fetch(window, folder / "out", expected)
    for word in ("source ", window.key, "expected", "cure", *words):
        assert word in str(caught.value)
    assert not list(folder.iterdir())
    return caught.value


@pytest.mark.parametrize("batch_rows", [1, 2, 50_000])
def test_rows_of_a_window_typed_in_the_order_of_the_query(database, tmp_path, batch_rows):
    """SQLite has no times: all ways to write them fall into the right window, at its edges too."""
    got, provenance = fetch(source(tmp_path, batch_rows=batch_rows), tmp_path)
    assert got.rows() == [
        (7, datetime(2019, 3, 1), None, None, None),
        (1, datetime(2019, 3, 1), 1.0, True, None),
        (2, datetime(2019, 3, 1), 2.5, False, None),
        (4, datetime(2019, 3, 15, 12), 3.0, True, 7),
        (3, datetime(2019, 3, 31, 23, 59, 59, 500_000), None, None, None),
    ]
    assert dict(got.schema) == {**EXPECTED, "late": pl.Int64()}
    assert provenance.rows == 5
    assert "trips.db" in provenance.source
    assert "SELECT * FROM trips" in provenance.source


def test_bytes_and_digest_do_not_depend_on_the_batches_and_change_with_a_value(database, tmp_path):
    results = set()
    for batch_rows in (1, 3, 50_000):
        _, provenance = fetch(source(tmp_path, batch_rows=batch_rows), tmp_path)
        results.add((provenance.sha256, (tmp_path / "scratch/out").read_bytes()))
    assert len(results) == 1
    change(database, "UPDATE trips SET miles = 2.6 WHERE id = 2")
    _, provenance = fetch(source(tmp_path), tmp_path)
    assert provenance.sha256 not in {digest for digest, _ in results}


def test_partitions_are_the_windows_with_rows(database, tmp_path):
    change(database, "DELETE FROM trips WHERE id = 6")
    january = Window("2019-01", datetime(2019, 1, 1), datetime(2019, 2, 1))
    assert source(tmp_path).partitions([january, MARCH, APRIL]) == ["2019-03", "2019-04"]


def test_the_fingerprint_sees_late_rows_and_with_a_query_of_its_own_changes_in_place(database, tmp_path):
    own = "SELECT count(*), sum(miles) FROM trips WHERE at >= :start AND at < :end"
    plain, careful = source(tmp_path), source(tmp_path, fingerprint_query=own)
    before = [s.fingerprint(MARCH) for s in (plain, careful)]
    assert before == [s.fingerprint(MARCH) for s in (plain, careful)]
    assert plain.fingerprint(APRIL) != before[0]
    assert source(tmp_path, query=QUERY.replace("*", "id, at")).fingerprint(MARCH) != before[0]
    change(database, "UPDATE trips SET miles = 9 WHERE id = 4")
    after = [s.fingerprint(MARCH) for s in (plain, careful)]
    assert after[0] == before[0]
    assert after[1] != before[1]
    change(database, "DELETE FROM trips WHERE id = 4")
    assert plain.fingerprint(MARCH) != before[0]


def test_all_fingerprints_come_over_one_connection_and_one_that_fails_hides_no_other(database, tmp_path, monkeypatch):
    counted = "SELECT CASE WHEN :start = '2019-03-01' THEN json('{') ELSE count(*) END FROM trips WHERE at < :end"
    careful = source(tmp_path, fingerprint_query=counted)
    connected, opened = SqlSource._connected, []
    monkeypatch.setattr(SqlSource, "_connected", lambda self, thing: opened.append(thing) or connected(self, thing))
    told = careful.fingerprints([MARCH, APRIL])
    assert len(opened) == 1
    assert isinstance(told["2019-03"], SourceUnreadable)
    assert "malformed JSON" in str(told["2019-03"])
    assert told["2019-04"] == careful.fingerprint(APRIL)


def test_faults(database, tmp_path):
    refused(
        SourceEmpty,
        source(tmp_path),
        tmp_path,
        "no rows",
        window=Window("x", datetime(2021, 1, 1), datetime(2022, 1, 1)),
    )
    bad = source(tmp_path, query=QUERY.replace("trips", "tripz"))
    refused(SourceUnreadable, bad, tmp_path, "no such table: tripz")
    for asked in (lambda: bad.partitions([MARCH]), lambda: bad.fingerprint(MARCH)):
        with pytest.raises(SourceUnreadable, match="tripz"):
            asked()
    expected = EXPECTED | {"mile": pl.Float64(), "late": pl.Datetime("us")}
    refused(SourceSchemaError, source(tmp_path), tmp_path, "column mile: missing, nearest names: miles",
            "column late: Int64", expected=expected)  # fmt: skip
    change(database, "UPDATE trips SET miles = x'00' WHERE id = 1")
    refused(SourceSchemaError, source(tmp_path), tmp_path, "column miles: bytes and float and int mixed (rows 1 to 5)")
    refused(
        SourceSchemaError, source(tmp_path, batch_rows=1), tmp_path, "column miles: binary in earlier rows, double here"
    )
    twice = source(tmp_path, query="SELECT id, at AS id FROM trips WHERE at >= :start AND at < :end ORDER BY 1")
    refused(SourceSchemaError, twice, tmp_path, "two columns named 'id'")


def test_a_column_with_a_value_that_does_not_fit_is_kept_as_found(database, tmp_path, caplog):
    change(database, "UPDATE trips SET at = '2019-03-15 noon' WHERE id = 4")
    change(database, "UPDATE trips SET cash = 2.5 WHERE id = 1")
    got, _ = fetch(source(tmp_path), tmp_path)
    assert got["at"].to_list() == [
        "2019-03-01",
        "2019-03-01 00:00:00",
        "2019-03-01 00:00:00.000000",
        "2019-03-15 noon",
        "2019-03-31T23:59:59.5",
    ]
    assert got["cash"].to_list() == [None, 2.5, 0.0, 1.0, None]
    assert got["miles"].to_list() == [None, 1.0, 2.5, 3.0, None]
    assert "column at: String '2019-03-15 noon' in row 4, expected Datetime" in caplog.text
    assert "column cash: Float64 2.5 in row 2, expected Boolean" in caplog.text


def test_text_among_numbers_makes_the_column_text_spelled_alike_in_all_batches(database, tmp_path):
    change(database, "UPDATE trips SET miles = 'far' WHERE id = 4")
    change(database, "UPDATE trips SET miles = 1e18 WHERE id = 7")
    written = set()
    for batch_rows in (1, 2, 3, 50_000):
        got, provenance = fetch(source(tmp_path, batch_rows=batch_rows), tmp_path)
        assert got["miles"].to_list() == ["1e+18", "1", "2.5", "far", None]
        assert provenance.columns["miles"] == "string"
        written.add((tmp_path / "scratch/out").read_bytes())
    assert len(written) == 1


def test_columns_and_types_as_the_driver_gives_them(database, tmp_path):
    change(database, "UPDATE trips SET late = NULL")
    _, provenance = fetch(source(tmp_path), tmp_path)
    assert provenance.columns == {
        "id": "int64",
        "at": "string",
        "miles": "double",
        "cash": "int64",
        "late": "empty",
    }
    assert source_columns(tmp_path / "scratch/out") == provenance.columns


def test_a_missing_sqlite_file_is_not_made(tmp_path):
    src = source(tmp_path, "sqlite:///missing.db")
    with pytest.raises(SourceNotFound, match=r"no file .*missing.db"):
        src.partitions([MARCH])
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "trips.db").write_text("<html>" * 1000)
    refused(SourceUnreadable, source(tmp_path), tmp_path, "not a database")


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hunter2@127.0.0.1:1/trips", "postgresql://me@127.0.0.1:1/trips?password=hunter2",
     "postgresql://me:${SECRET}@127.0.0.1:1/trips", "env:WHOLE"],
)  # fmt: skip
def test_an_unreachable_database_is_named_without_its_password(tmp_path, monkeypatch, url):
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("WHOLE", "postgresql://me:hunter2@127.0.0.1:1/trips")
    src = source(tmp_path, url)
    error = refused(SourceNotFound, src, tmp_path, "no connection", "127.0.0.1" if url != "env:WHOLE" else "env:WHOLE")
    assert "hunter2" not in str(error)
    assert error.__cause__ is None
    with pytest.raises(SourceNotFound, match="no connection"):
        src.fingerprint(MARCH)


def test_urls(tmp_path, monkeypatch):
    monkeypatch.setenv("PW", "a@b/c:%")
    url = resolve_url("postgresql://me:${PW}@db.example:5433/trips", tmp_path)
    assert (url.drivername, url.password, url.host, url.port) == ("postgresql+psycopg2", "a@b/c:%", "db.example", 5433)
    assert resolve_url("mysql+pymysql://h/d", tmp_path).drivername == "mysql+pymysql"
    assert resolve_url("postgresql+psycopg://h/d", tmp_path).drivername == "postgresql+psycopg"
    for wrong, says in (
        ("postgresql://me:${NO_SUCH}@db/x", "no NO_SUCH"),
        ("env:NO_SUCH", "no NO_SUCH"),
        ("trips.db", "no SQLAlchemy URL"),
    ):
        with pytest.raises(ConfigError, match=says):
            resolve_url(wrong, tmp_path)


def test_an_unknown_dialect(tmp_path):
    refused(SourceNotFound, source(tmp_path, "oraclez://h/d"), tmp_path, "no driver for oraclez")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM t WHERE at >= :start AND at < :end", "ORDER BY"),
        ("SELECT * FROM t WHERE at >= :start ORDER BY 1", ":start"),
        ("SELECT * FROM t WHERE at >= :start AND at < :end AND x = :x ORDER BY 1", ":x"),
    ],
)
def test_a_query_that_means_nothing_is_refused(query, says):
    with pytest.raises(ValidationError, match=says):
        SqlSourceConfig(kind="sql", url="sqlite://", query=query)


def test_a_cast_of_postgres_is_no_parameter_unless_of_one():
    """SQLAlchemy takes `:start::date` to mean a parameter `:star`."""
    query = "SELECT a::text FROM t WHERE at >= :start AND at < :end ORDER BY 1"
    SqlSourceConfig(kind="sql", url="x", query=query)
    with pytest.raises(ValidationError, match=r"CAST\(:start AS"):
        SqlSourceConfig(kind="sql", url="x", query=query.replace(":start", ":start::date"))


def test_types_of_values_from_all_batches(tmp_path):
    """What drivers of other databases give."""
    utc = datetime(2019, 3, 1, tzinfo=UTC)
    number = UUID(int=5)
    spool = Spool(tmp_path / "spool", list("abcdefg"), thing="t")
    spool.fill(
        [
            [(None, Decimal("1.5"), 1, utc, number, None, date(2019, 3, 1))],
            [(None, Decimal("22.25"), 2.5, utc + timedelta(1), None, b"x", None)],
            [(True, None, None, None, None, None, None)],
        ]
    )
    assert [str(t) for t in spool.schema.types] == [
        "bool", "decimal128(4, 2)", "double", "timestamp[us, tz=UTC]", "string", "binary", "date32[day]",
    ]  # fmt: skip
    rows = [row for block in spool.blocks() for row in block.batch.to_pylist()]
    assert [row["b"] for row in rows] == [Decimal("1.50"), Decimal("22.25"), None]
    assert rows[0]["e"] == str(number)
    assert [block.first for block in spool.blocks()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([[{"a": 1}]], "values like {'a': 1}"),
        ([[2**70]], "int"),
        ([["x", b"x"]], "bytes and str mixed"),
        ([[1.5, Decimal(1)]], "Decimal"),
        ([[1], [date(2019, 3, 1)]], "int64 in earlier rows, date32[day] here"),
    ],
)
def test_values_without_a_type_are_refused(tmp_path, values, says):
    spool = Spool(tmp_path / "spool", ["a"], thing="t")
    with pytest.raises(SourceSchemaError, match="CAST") as caught:
        spool.fill([[(v,) for v in batch] for batch in values])
    assert says in str(caught.value)
