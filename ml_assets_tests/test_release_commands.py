"""history, status, rollback, release, verify: as a person on call types them, and as a program reads them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ml_assets import ledger_commands, release_commands
from ml_assets.cli import main
from ml_assets.config.retraining import Retraining
from ml_assets.project import pipeline_named


@pytest.fixture
def call(judged, monkeypatch, tmp_path):
    """Call the command line on the pipeline `duration`; what the UI would be told is kept in `call.shown`."""
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ML_ASSETS_LEDGER", judged.ledger.url)
    for module in (release_commands, ledger_commands):
        monkeypatch.setattr(module, "desk_of", lambda _: judged.desk)
    shown = []
    monkeypatch.setattr(release_commands, "show", lambda _: shown.append(judged.desk.live().bundle))
    monkeypatch.setattr(release_commands, "person", lambda: "ann")

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, [command, "--pipeline", "duration", *arguments])

    run.shown = shown
    return run


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(result: Result, *words: str) -> None:
    assert result.exit_code not in (0, None)
    assert isinstance(result.exception, SystemExit), result.exception
    for word in words:
        assert word in result.output


def test_retrain_writes_down_who_asks_and_why(judged, call, monkeypatch):
    refused(call("retrain", "--reason", "new meters"), "no section `retraining`", "retraining: {}")
    config = judged.pipeline.config.model_copy(update={"retraining": Retraining()})
    monkeypatch.setattr(judged, "desk", replace(judged.desk, pipeline=replace(judged.pipeline, config=config)))
    assert "event 1 of the ledger" in done(call("retrain", "--reason", "new meters"))
    assert "ann asked for a training: new meters" in done(call("history"))
    assert json.loads(done(call("retrain", "--reason", "again", "--json")))["event"]["facts"]["why"] == "again"


def test_accept_writes_down_who_does_without_what_and_why(judged, call):
    refused(call("accept", "--partition", "2018-04"), "--reason")
    refused(call("accept", "--partition", "2018-13", "--reason", "lost"), "partition 2018-13 of trips", "cure")
    raw = judged.store.base / "trips/raw/2018-05.parquet"
    raw.parent.mkdir(parents=True)
    raw.touch()
    refused(call("accept", "--partition", "2018-05", "--reason", "lost"), "it has landed")
    assert "do without 2018-04; event 1 of" in done(call("accept", "--partition", "2018-04", "--reason", "lost"))
    assert "ann accepted that 2018-04 never lands: lost" in done(call("history"))
    assert (
        json.loads(done(call("accept", "--partition", "2018-06", "--reason", "x", "--json")))["event"]["sequence"] == 2
    )


def test_history(judged, call):
    judged.make_live("2018-03")
    second = judged.make_live("2018-06")
    done(call("rollback", "--reason", "complaints"))
    lines = done(call("history")).splitlines()
    assert len(lines) == 5
    assert "decided promote: mae 2.744 against 7 of the naive baseline" in lines[0]
    assert lines[3].split()[0] == "4"
    assert all(word in lines[3] for word in ("2018-06", second[:12], "released by a test: it passed"))
    assert "rolled back to by ann: complaints" in lines[4]
    told = json.loads(done(call("history", "--json")))
    assert [e["kind"] for e in told["events"]] == judged.kinds()
    assert told["events"][4]["facts"]["from_bundle"] == second


def test_status(judged, call):
    bundle = judged.make_live("2018-03")
    judged.decide(judged.bundle("2018-06"), rows=300)
    text = done(call("status"))
    for words in (bundle[:12], "trained as of 2018-03", "released by a test", "decided undecided: 300 holdout rows"):
        assert words in text
    assert "about 200 more labels" in text
    told = json.loads(done(call("status", "--json")))
    assert (told["champion"]["bundle"], told["decision"]["facts"]["labels_missing"]) == (bundle, 200)
    assert told["champion"]["event"]["facts"]["by"] == "a test"
    assert told["head"].startswith("3:")


def test_what_a_release_was_worth(judged, call):
    first, second = judged.make_live("2018-03"), judged.make_live("2018-06")
    assert json.loads(done(call("status", "--json")))["champion"]["worth"] is None
    assert "worth" not in done(call("status"))
    words = "this retraining was worth +0.31 ± 0.04 minutes per row (3 of 3 partitions, 900 rows): it helped"
    facts = {"bundle": second, "as_of": "2018-06", "release": 4, "replaced": first, "words": words}
    judged.ledger.append("duration", "attributed", facts, after=4)
    line = done(call("history")).splitlines()[-1]
    assert all(word in line for word in ("   5  ", "2018-06", second[:12], f"attributed: {words}"))
    assert f"attributed: {words}" in done(call("status"))
    assert json.loads(done(call("status", "--json")))["champion"]["worth"]["facts"]["release"] == 4
    done(call("rollback", "--reason", "complaints"))
    assert "worth" not in done(call("status")), "it is no worth of what is live"


def test_a_ledger_without_events(call, monkeypatch):
    monkeypatch.setattr(ledger_commands, "pipeline_named", lambda _: None)
    assert "nothing has been decided" in done(call("history"))
    assert "nothing is released" in done(call("status"))
    assert "no events" in done(call("verify"))
    told = json.loads(done(call("status", "--json")))
    assert told["champion"] is told["decision"] is None


@pytest.mark.parametrize("command", [["history"], ["status"], ["verify"], ["rollback", "--reason", "x"], ["release"]])
def test_a_pipeline_that_is_not_there(command, monkeypatch, tmp_path):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ML_ASSETS_LEDGER", "")
    refused(
        CliRunner().invoke(main, [*command, "--pipeline", "nothing"]), "pipeline nothing", "trip_duration", "cure: "
    )
    assert not (tmp_path / "data").exists()


def test_going_back(judged, call):
    first, second = judged.make_live("2018-03"), judged.make_live("2018-06")
    text = done(call("rollback", "--reason", "complaints"))
    assert f"{first[:12]}, trained as of 2018-03, is live (was {second[:12]}, as of 2018-06)" in text
    assert judged.desk.live().bundle == first
    assert call.shown == [first]
    told = json.loads(done(call("rollback", "--reason", "better than nothing", "--to", second[:8], "--json")))
    assert (told["champion"]["bundle"], told["from"], told["changed"]) == (second, first, True)
    again = done(call("rollback", "--reason", "better than nothing", "--to", second[:8]))
    assert "is live already; nothing changed" in again
    assert call.shown == [first, second]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--reason", "Missing option"]),
        (["--reason", "  "], ["--reason", "expected words"]),
        (["--reason", "x"], ["no champion before", "cure: "]),
        (["--reason", "x", "--to", "0000000"], ["live once begin so", "cure: copy it from"]),
    ],
)
def test_going_back_to_nothing(judged, call, arguments, words):
    judged.make_live("2018-03")
    before = judged.kinds()
    refused(call("rollback", *arguments), *words)
    assert judged.kinds() == before
    assert call.shown == []


def test_releasing(judged, call):
    judged.make_live("2018-03")
    bundle = judged.bundle("2018-06")
    judged.decide(bundle)
    assert f"released: {bundle[:12]}" in done(call("release"))
    assert "is live already" in done(call("release", "--bundle", bundle[:10]))
    assert judged.kinds().count("released") == 2
    assert judged.desk.events()[-1].facts["by"] == "ann"


def test_a_release_without_the_right_to_it_and_by_force(judged, call):
    live, worse = judged.make_live("2018-03"), judged.bundle("2018-06")
    judged.decide(worse, champion_learnt_holdout=True)
    refused(call("release", "--bundle", worse[:10]), "`reject`", "has learnt from rows of this holdout", "--force")
    refused(call("release", "--bundle", worse[:10], "--force"), "--force needs --reason")
    assert judged.desk.live().bundle == live
    told = json.loads(done(call("release", "--bundle", worse[:10], "--force", "--reason", "wrong meters", "--json")))
    assert told["champion"]["bundle"] == worse
    assert "released by force by ann: wrong meters" in done(call("history"))


def test_a_release_of_a_bundle_that_nobody_knows(judged, call):
    refused(call("release"), "bundles in", "cure: ")
    refused(call("release", "--bundle", "00000000"), "bundles in", "cure: ")
    undecided = judged.bundle("2018-06")
    refused(call("release", "--bundle", undecided), "there is no decision on it", "cure: run duration_train")


def test_verifying(judged, call):
    bundle = judged.make_live("2018-03")
    text = done(call("verify"))
    assert "2 events (1 decided, 1 released)" in text
    head = next(line.split()[1] for line in text.splitlines() if line.strip().startswith("head"))
    done(call("verify", "--expect", head[:20]))
    assert json.loads(done(call("verify", "--json")))["head"] == head
    refused(call("verify", "--expect", "3:" + "0" * 12), "event 3 was its last")
    refused(call("verify", "--expect", "now"), "--expect", "as in 12:")

    (Path(judged.models.root) / bundle / "manifest.json").unlink()
    refused(call("verify"), f"bundle {bundle[:12]}", "cure: restore what is named")
    as_json = call("verify", "--json")
    assert as_json.exit_code == 1
    told = json.loads(as_json.stdout)
    assert told["intact"] is False
    assert len(told["faults"]) == 1


def test_reading_a_broken_ledger(judged, call):
    judged.make_live("2018-03")
    import sqlite3

    with sqlite3.connect(judged.ledger.url.removeprefix("sqlite:///")) as database:
        database.execute("update events set facts = replace(facts, '2018-03', '2018-04')")
    database.close()
    for command in (["history"], ["status"], ["rollback", "--reason", "x"], ["release"], ["verify"]):
        refused(call(*command), "event 1 was changed", "cure: restore")


def test_who_asks_where_the_system_has_no_name_for_them(monkeypatch):
    monkeypatch.setattr(release_commands.getpass, "getuser", lambda: "ann")
    assert release_commands.person() == "ann"

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(release_commands.getpass, "getuser", unknown)
    assert release_commands.person().startswith("user ")


def test_for_real_the_champions_page_follows(judged, monkeypatch, tmp_path):
    """On the repository's own definitions and a real instance; only the bundles have no model in them."""
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    for variable in ("LEDGER", "STORE", "MODELS"):
        monkeypatch.setenv(f"ML_ASSETS_{variable}", "")
    monkeypatch.setenv("DAGSTER_HOME", "")
    bundles = type(judged.models)(root=str(tmp_path / "data/models"))
    monkeypatch.setattr(release_commands, "Models", lambda root: bundles)
    end = pipeline_named("trip_duration").table.window("2018-12").end.isoformat()
    training = {"as_of": "2018-12", "split": {"as_of": end}}
    first, second = (bundles.save_facts(pipeline="trip_duration", name=n, training=training) for n in "ab")
    release_commands.desk_of("trip_duration").release(second, by="ann", reason="first day", forced=True)
    result = CliRunner().invoke(main, ["release", "--bundle", first, "--force", "--reason", "second day"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert result.stderr == ""
    page = json.loads((tmp_path / "data/store/trip_duration/champion.json").read_text())
    assert (page["bundle"], page["sequence"], page["scores_from"]) == (first, 2, end)


def test_a_page_that_can_not_be_made_is_told_and_the_ledger_stands(judged, call, monkeypatch):
    monkeypatch.setattr(release_commands, "show", lambda desk: f"note: materializing {desk.name}/champion failed")
    judged.decide(judged.bundle("2018-03"))
    result = call("release")
    assert result.exit_code == 0
    assert "materializing duration/champion failed" in result.stderr
    assert judged.desk.live() is not None
