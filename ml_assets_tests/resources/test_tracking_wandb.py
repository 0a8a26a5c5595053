"""Offline runs of W&B hold what was tracked, read back record by record; nothing goes over the network."""

import io
import json
import socket
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources import tracking_wandb
from ml_assets.resources.tracking_delivery import TrackerDown
from ml_assets.resources.tracking_queue import Queue
from ml_assets.resources.tracking_wandb import WandbTracker, id_of

_spec = spec_from_file_location("tracking_processes", Path(__file__).with_name("tracking_processes.py"))
entries = module_from_spec(_spec)
_spec.loader.exec_module(entries)

RUN = TrackedRun("trip_duration", "0a1b2c3d4e", "2019-03", 5.0, reason="drift")
BLOCK, HEADER, FILE_HEADER = 32768, 7, 7


def records_in(file):
    """The records of a `.wandb` file: LevelDB's log format after a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, parts = file.read_bytes(), FILE_HEADER, b""
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


@pytest.fixture(scope="module")
def delivered(tmp_path_factory, bundle):
    """The folder, and what was queued, of two entries that were delivered twice."""
    folder = tmp_path_factory.mktemp("wandb")
    queue, tracker = Queue(folder / "tracking"), WandbTracker(folder / "wandb", 5)
    told = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        for step in ("tuning", "candidate"):
            told[step] = queue.read(queue.put(RUN, step, entries.entry_of(step, bundle), ["any"]))
            for _ in range(2):  # as after a kill right before it was marked
                tracker.deliver(told[step], print)
    return folder / "wandb" / "wandb", told


def read(delivered, step):
    folder, told = delivered
    [run] = folder.glob(f"offline-run-*-{id_of(told[step])}")
    [file] = run.glob("*.wandb")
    return run, list(records_in(file))


def history(records):
    rows = []
    for record in records:
        if record.HasField("history"):
            items = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            rows.append(items)
    return rows


def test_there_is_one_run_per_step_however_often_it_was_delivered(delivered):
    folder, told = delivered
    assert len(list(folder.iterdir())) == len(told) == 2
    for step in told:
        [run] = [r.run for r in read(delivered, step)[1] if r.HasField("run")]
        assert (run.project, run.job_type, run.run_group) == ("trip_duration", step, "trip_duration 2019-03 0a1b2c3d")
        assert run.display_name == f"trip_duration 2019-03 {step}"


def test_curves_and_metrics_are_rows(delivered):
    rows = history(read(delivered, "candidate")[1])
    told = [(r["_step"], r["candidate/train"]) for r in rows if "candidate/train" in r]
    assert told == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert rows[-1]["candidate/mae"] == 1.5


def test_parameters_are_the_config(delivered):
    _, records = read(delivered, "candidate")
    config = {u.key or ".".join(u.nested_key): json.loads(u.value_json) for r in records for u in r.config.update}
    assert (config["trees"], config["space"]) == (30, {"window": [2, 3]})
    assert (config["run"]["reason"], config["run"]["data_versions"]) == ("drift", {"2019-03": "ab" * 32})


def test_pictures_trials_and_bundle_are_kept(delivered, bundle):
    run, records = read(delivered, "candidate")
    [picture] = (run / "files").rglob("*.png")
    assert picture.read_bytes() == entries.PNG
    kept = {r.artifact.name: r.artifact for r in records if r.HasField("artifact")} | {
        r.request.log_artifact.artifact.name: r.request.log_artifact.artifact
        for r in records if r.request.HasField("log_artifact")
    }  # fmt: skip
    artifact = kept["trip_duration-bundle"]
    assert json.loads(artifact.metadata) == {"sha256": bundle[1]}
    assert {e.path for e in artifact.manifest.contents} == {p.name for p in (Path(bundle[0]) / bundle[1]).iterdir()}
    [table] = (read(delivered, "tuning")[0] / "files").rglob("*.table.json")
    told = json.loads(table.read_text())
    assert told["columns"] == ["number", "state", "score", "leaves"]
    assert told["data"][1] == [1, "pruned", 1.0, "1"]


def test_the_mode_is_the_users_and_never_asks(tmp_path, monkeypatch):
    tracker = WandbTracker(tmp_path, 1)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert tracker.mode == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert tracker.mode == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tracker.mode == "offline"


def test_a_server_that_does_not_answer_is_an_outage_and_the_run_is_kept_for_later(tmp_path, monkeypatch):
    queue, tracker = Queue(tmp_path / "tracking"), WandbTracker(tmp_path / "wandb", 1)
    queued = queue.read(queue.put(RUN, "s", Entry(metrics={"mae": 1.0}), ["any"]))
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(4)
        for port in (1, silent.getsockname()[1]):
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
            with pytest.raises(TrackerDown, match=r"W&B at http://127\.0\.0\.1:"):
                tracker.deliver(queued, print)
    assert len(list((tmp_path / "wandb/wandb").iterdir())) == 1


def test_a_refused_sync_is_told(tmp_path, monkeypatch):
    queue, tracker = Queue(tmp_path / "tracking"), WandbTracker(tmp_path / "wandb", 1)
    queued = queue.read(queue.put(RUN, "s", Entry(), ["any"]))
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(tracking_wandb.urllib.request, "urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(tracking_wandb.sys, "executable", "false")
    with pytest.raises(TrackerDown, match="wandb sync"):
        tracker.deliver(queued, print)
    monkeypatch.setattr(tracking_wandb.sys, "executable", "true")
    tracker.deliver(queued, print)


def test_a_folder_that_cant_be_written_is_an_outage(tmp_path):
    (tmp_path / "file").write_text("")
    queue = Queue(tmp_path / "tracking")
    queued = queue.read(queue.put(RUN, "s", Entry(), ["any"]))
    with pytest.raises(TrackerDown, match="W&B"):
        WandbTracker(tmp_path / "file", 1).deliver(queued, print)
