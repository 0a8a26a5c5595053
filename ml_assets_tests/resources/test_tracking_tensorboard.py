"""Event files hold what was tracked, read back record by record."""

import struct
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources.tracking_delivery import TrackerDown
from ml_assets.resources.tracking_queue import Queue
from ml_assets.resources.tracking_tensorboard import TensorboardTracker

_spec = spec_from_file_location("tracking_processes", Path(__file__).with_name("tracking_processes.py"))
entries = module_from_spec(_spec)
_spec.loader.exec_module(entries)

RUN = TrackedRun("trip_duration", "0a1b2c3d4e", "2019-03", 5.0, reason="drift")


def events_in(folder):
    """Tag -> (step, value) of every event in a folder."""
    from tensorboardX.proto.event_pb2 import Event

    told: dict[str, list] = {}
    [file] = folder.glob("events.*")
    content = file.read_bytes()
    while content:
        [length] = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            told.setdefault(value.tag, []).append((event.step, value))
        content = content[16 + length :]
    return told


@pytest.fixture
def delivered(tmp_path, bundle):
    queue, tracker = Queue(tmp_path / "tracking"), TensorboardTracker(tmp_path / "tensorboard")
    for step in ("tuning", "candidate"):
        queued = queue.read(queue.put(RUN, step, entries.entry_of(step, bundle), ["any"]))
        for _ in range(2):  # as after a kill right before it was marked
            tracker.deliver(queued, print)
    return tmp_path / "tensorboard/trip_duration/2019-03 0a1b2c3d"


def test_metrics_and_curves_are_scalars(delivered):
    told = events_in(delivered / "candidate")
    assert [(step, v.simple_value) for step, v in told["train"]] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert [(step, v.simple_value) for step, v in told["mae"]] == [(0, 1.5)]


def test_pictures_are_images_as_they_were(delivered):
    [(_, value)] = events_in(delivered / "candidate")["residuals"]
    assert (value.image.encoded_image_string, value.image.width, value.image.height) == (entries.PNG, 1, 1)


def test_parameters_data_and_bundle_are_a_text(delivered, bundle):
    [(_, value)] = events_in(delivered / "candidate")["run/text_summary"]
    [text] = value.tensor.string_val
    for part in (
        "|trees|30|",
        "|space.window|[2, 3]|",
        f"|bundle|{bundle[1]}|",
        f"SHA-256 {'0' * 64}",
        "|reason|drift|",
    ):
        assert part in text.decode()


def test_trials_have_their_parameters_and_score(delivered):
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    folders = sorted(p.name for p in (delivered / "tuning").iterdir() if p.is_dir())
    assert folders == [f"trial 00{i}" for i in range(4)]
    told = events_in(delivered / "tuning/trial 001")
    [(_, value)] = told["_hparams_/session_start_info"]
    params = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
    assert (params["leaves"].number_value, params["state"].string_value) == (1.0, "pruned")
    assert [v.simple_value for _, v in told["score"]] == [1.0]


def test_nothing_is_left_beside(delivered):
    assert sorted(p.name for p in delivered.parents[1].iterdir()) == ["trip_duration"]


def test_a_folder_that_cant_be_written_is_an_outage(tmp_path):
    (tmp_path / "file").write_text("")
    queue = Queue(tmp_path / "tracking")
    queued = queue.read(queue.put(RUN, "s", Entry(), ["any"]))
    with pytest.raises(TrackerDown, match="TensorBoard's folder"):
        TensorboardTracker(tmp_path / "file").deliver(queued, print)
