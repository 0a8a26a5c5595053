"""Labels delivered to a running server: on disk when they are answered for, refused with reasons otherwise."""

import errno
import json
import os
from datetime import UTC, datetime

import pytest

from ml_assets.core.log_segments import microseconds
from ml_assets.core.prediction_log import Entry, joined_by_request
from ml_assets.core.routing import alone
from ml_assets.resources import log_files
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.serving.app import App
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.exposing import exposed
from ml_assets.serving.limits import Limits
from ml_assets.serving.picture import Picture
from ml_assets.serving.prediction_log import PredictionLog
from ml_assets.serving.protocols import labels

CHAMPION = "b" * 64
FACTS = {
    "rides": {"task": "regression", "classes": None},
    "tips": {"task": "binary", "classes": ["low", "high"]},
}


class Model:
    """What the endpoint asks of a served model."""

    def __init__(self, facts):
        self.bundle, self.specs, self.version = self, (), CHAMPION
        self.facts = facts


@pytest.fixture
def log(tmp_path):
    log = PredictionLog(str(tmp_path), "rides", flush_seconds=60.0)
    yield log
    log.close()


@pytest.fixture
def logs(tmp_path):
    return PredictionLogs(root=str(tmp_path))


@pytest.fixture
def plane():
    """Two pipelines with a champion each."""
    plane = DataPlane(list(FACTS))
    for name, facts in FACTS.items():
        plane.put(name, Picture(alone(CHAMPION), {CHAMPION: Model(facts)}, 1))
    return plane


@pytest.fixture
def send(log, asgi, plane):
    """Send labels to /labels/rides; the answer, read."""
    app = App(plane, labels.exposed({"rides": log, "tips": log}), limits=Limits(rows=5))

    def sending(told: object, pipeline: str = "rides") -> tuple[int, dict]:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        answer = asgi(app)("POST", f"/labels/{pipeline}", body)
        return answer.status, json.loads(answer.body)

    return sending


def test_labels_are_on_disk_when_they_are_answered_for_and_find_their_requests(log, logs, send):
    for row in range(2):
        log.append(Entry("r1", row, 5, "u", "champion", "answered", CHAMPION, (1.0,), 2.0, 9, None, None))
    told = [
        {"request_id": "r1", "label": 7.5, "known_at": "2024-03-05T12:30:00"},
        {"request_id": "r1", "row": 1, "label": 8},
    ]
    assert send(told) == (200, {"accepted": 2})
    found = joined_by_request(logs.rows("rides", "requests"), logs.rows("rides", "labels"))
    assert found["label"].to_list() == [7.5, 8.0]
    assert found["label_known_at"][0] == datetime(2024, 3, 5, 12, 30)
    now = microseconds(datetime.now(UTC))
    assert abs(microseconds(found["label_known_at"][1]) - now) < 60_000_000, "now, where nobody says"


def test_a_label_sent_again_corrects_the_first(log, logs, send):
    log.append(Entry("r1", 0, 5, "u", "champion", "answered", CHAMPION, (1.0,), 2.0, 9, None, None))
    for label in (1.0, 2.0):
        assert send([{"request_id": "r1", "label": label}])[0] == 200
    assert joined_by_request(logs.rows("rides", "requests"), logs.rows("rides", "labels"))["label"].to_list() == [2.0]


@pytest.mark.parametrize(("label", "number"), [("low", 0.0), ("high", 1.0), (True, 1.0), (0, 0.0)])
def test_classes_are_named_or_counted(logs, send, label, number):
    assert send([{"request_id": "r", "label": label}], "tips")[0] == 200
    assert logs.rows("rides", "labels")["prediction"].to_list() == [[number]]


@pytest.mark.parametrize(
    ("told", "pipeline", "status", "said"),
    [
        ([{"request_id": "r", "label": "long"}], "rides", 400, "label 0: 'long'"),
        ([{"request_id": "r", "label": True}], "rides", 400, "finite numbers"),
        (b'[{"request_id": "r", "label": 1e999}]', "rides", 400, ""),
        ([{"request_id": "r", "label": 2}], "tips", 400, "one of low, high"),
        ([{"request_id": "r", "label": "medium"}], "tips", 400, "label 0: 'medium'"),
        ([{"request_id": "", "label": 1}], "rides", 400, "request_id"),
        ([{"request_id": "r" * 201, "label": 1}], "rides", 400, "request_id"),
        ([{"request_id": "r", "label": 1, "row": -1}], "rides", 400, "row"),
        ([{"request_id": "r", "label": 1, "known_at": "soon"}], "rides", 400, "known_at"),
        ([{"request_id": "r", "label": 1, "when": 3}], "rides", 400, "when"),
        ([{"request_id": "r"}], "rides", 400, "label"),
        ([{"request_id": "r", "label": 1}] * 6, "rides", 413, "at most 5"),
        ({"request_id": "r", "label": 1}, "rides", 400, "array"),
        ([{"request_id": "r", "label": 1}], "fares", 404, "rides, tips"),
        (b"{", "rides", 400, ""),
    ],
)
def test_what_is_no_label_is_refused_and_nothing_is_kept(logs, log, send, told, pipeline, status, said):
    found, answer = send(told, pipeline)
    assert (found, said in json.dumps(answer)) == (status, True), answer
    log.flush()
    assert logs.rows("rides", "labels").is_empty()


def test_a_full_disk_is_told_and_the_labels_are_not_lost(logs, log, send, monkeypatch):
    def full(path, place):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(log_files, "publish", full)
        status, answer = send([{"request_id": "r1", "label": 7.5}])
    assert (status, "send all of them again later" in answer["cure"]) == (503, True)
    assert send([{"request_id": "r1", "label": 7.5}])[0] == 200
    assert logs.rows("rides", "labels")["request_id"].to_list() == ["r1", "r1"]


def test_a_disk_that_does_not_answer_is_not_waited_for_for_long(log, send, monkeypatch):
    monkeypatch.setattr(labels, "MOST_WAITED_SECONDS", 0.05)
    with log._flushing:
        assert send([{"request_id": "r1", "label": 7.5}])[0] == 503
    assert send([{"request_id": "r1", "label": 7.5}])[0] == 200


def test_the_path_is_there_and_described_where_there_are_logs(plane, log):
    paths = {e.path for e in exposed({}, logs={"rides": log})}
    assert paths - {e.path for e in exposed({})} == {"/labels/{pipeline}"}
    told = labels.described(plane).paths["/labels/{pipeline}"]["post"]
    label = told["requestBody"]["content"]["application/json"]["schema"]["items"]["properties"]["label"]
    assert label == {"anyOf": [{"type": "number"}, {"enum": ["low", "high", 0, 1, False, True]}]}
    assert "headers" not in told["responses"]["200"]


def test_none_is_no_mistake(send):
    assert send([]) == (200, {"accepted": 0})
