"""The database behind MLflow is there whole or not at all."""

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa

from ml_assets.resources.tracking_database import (
    create_whole,
    is_database,
    probe,
    sqlite_file,
    upgrade_whole,
    with_driver,
)


def run(file, *statements):
    with closing(sqlite3.connect(file)) as database:
        found = [database.execute(s).fetchall() for s in statements]
        database.commit()
    return found


def maker(*statements):
    return lambda url: run(url.removeprefix("sqlite:///"), *statements)


def test_it_appears_with_all_its_tables(tmp_path):
    file = tmp_path / "new" / "mlflow.db"
    create_whole(file, maker("create table a (x)", "create table b (x)"))
    assert run(file, "select count(*) from sqlite_master", "pragma journal_mode") == [[(2,)], [("wal",)]]
    assert [p.name for p in file.parent.iterdir()] == ["mlflow.db"]


def test_a_creation_that_fails_leaves_nothing(tmp_path):
    file = tmp_path / "mlflow.db"
    with pytest.raises(sqlite3.OperationalError):
        create_whole(file, maker("create table a (x)", "nonsense"))
    assert list(tmp_path.iterdir()) == []


def test_one_that_somebody_else_made_meanwhile_stays(tmp_path):
    file = tmp_path / "mlflow.db"

    def make(url):
        run(file, "create table theirs (x)")
        maker("create table ours (x)")(url)

    create_whole(file, make)
    assert run(file, "select name from sqlite_master") == [[("theirs",)]]


def test_an_upgrade_keeps_the_old_one_and_its_unwritten_log(tmp_path):
    file = tmp_path / "mlflow.db"
    create_whole(file, maker("create table a (x)"))
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("insert into a values (1)")
        reader.commit()  # in the write-ahead log while this is open
        kept = upgrade_whole(file, maker("alter table a add column y"))
    assert run(file, "select x, y from a") == [[(1, None)]]
    assert run(kept, "select * from a") == [[(1,)]]


def test_an_upgrade_that_fails_changes_nothing(tmp_path):
    file = tmp_path / "mlflow.db"
    create_whole(file, maker("create table a (x)"))
    with pytest.raises(sqlite3.OperationalError):
        upgrade_whole(file, maker("alter table a add column y", "nonsense"))
    assert run(file, "select count(*) from pragma_table_info('a')") == [[(1,)]]


def test_urls():
    assert with_driver("postgresql://me:secret@host/db", 5) == (
        "postgresql+psycopg2://me:secret@host/db?connect_timeout=5"
    )
    assert with_driver("postgresql+psycopg2://host/db?connect_timeout=9", 5).endswith("connect_timeout=9")
    assert with_driver("http://host:5000", 5) == "http://host:5000"
    assert is_database("mysql+pymysql://host/db")
    assert not is_database("https://host")
    assert sqlite_file("sqlite:////a/b.db").name == "b.db"
    assert sqlite_file("postgresql://host/db") is None


def test_what_is_no_database_is_told_at_once(tmp_path):
    (tmp_path / "a.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(sa.exc.SQLAlchemyError):
        probe(f"sqlite:///{tmp_path}/a.db", 1)
