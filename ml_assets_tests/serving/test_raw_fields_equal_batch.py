"""A trip sent as its raw fields is given the features and the prediction of its partition, to the bit."""

import json

import numpy as np
import pytest

from ml_assets.core.models.single_row import scorer_of
from ml_assets.core.routing import alone
from ml_assets.resources.partition_folder import PartitionFolder
from ml_assets.resources.sources.simulated import write_tlc_files
from ml_assets.served import raw_fields_of
from ml_assets.serving.app import App
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.exposing import exposed
from ml_assets.serving.history_snapshot import HistoryKeeper
from ml_assets.serving.picture import Picture, ServedModel
from ml_assets.serving.protocols.plain import RECORDS, Plain
from ml_assets_tests.serving.trips import LABELS, Stored, bundle_of

MONTHS = ("2019-01", "2019-02", "2019-03")


class Server:
    """A pipeline's model behind the plain protocol, with what its hooks are told."""

    def __init__(self, stored: Stored, pipeline: str, asgi, *, learnt: str = MONTHS[0]) -> None:
        self.fields = raw_fields_of(pipeline)
        self.bundle = bundle_of(self.fields, stored.features(self.fields, learnt))
        self.told: list = []
        plane = DataPlane([pipeline], [self.told.append])
        model = ServedModel(pipeline, scorer_of(self.bundle))
        plane.put(pipeline, Picture(alone(model.version), {model.version: model}, 1))
        self.keeper = HistoryKeeper(self.fields, PartitionFolder(str(stored.root), "trips"))
        assert self.keeper.look()
        self.app = asgi(App(plane, exposed({}, Plain({pipeline: self.fields}, {pipeline: self.keeper}))))

    def ask(self, records):
        answer = self.app("POST", f"/predict/{self.fields.pipeline}", json.dumps(records).encode())
        assert answer.status == 200, answer.body
        return json.loads(answer.body)


def require_equal(server: Server, stored: Stored, month: str, *, every: int, at_once: int = 1) -> None:
    """Features as they were used, and predictions, of every so many rows of a month."""
    features = stored.features(server.fields, month)
    rows = list(range(every // 2, features.height, every))
    wanted = server.bundle.predict(server.bundle.feature_frame(features)[rows])
    records = stored.records(server.fields, month, rows)
    found = []
    for start in range(0, len(records), at_once):
        part = records[start : start + at_once]
        found += server.ask(part)["predictions"] if at_once > 1 else [server.ask(part[0])["prediction"]]
    assert np.array_equal(found, wanted)
    assert len(np.unique(wanted)) > len(rows) / 4, "a model that tells rows apart"
    used = {name: [v for served in server.told for v in served.columns[name]] for name in server.told[0].columns}
    assert used == features[rows].select(list(used)).to_dict(as_series=False)
    assert set(used) == {f.name for f in server.fields.features}
    if month > MONTHS[0]:
        for f in server.fields.online.history:
            assert sum(v is not None for v in used[f.name]) > 0.9 * len(rows), "history is there"


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Stored:
    folder = tmp_path_factory.mktemp("trips")
    return Stored(folder / "store", write_tlc_files(folder, MONTHS[:2], 3000, 0))


@pytest.mark.parametrize("pipeline", sorted(LABELS))
def test_a_sample_of_the_built_in_trips(stored, pipeline, asgi):
    server = Server(stored, pipeline, asgi)
    require_equal(server, stored, MONTHS[1], every=70)
    assert all(served.feature_age_s is not None for served in server.told)


@pytest.mark.parametrize("pipeline", sorted(LABELS))
def test_many_trips_in_one_request(stored, pipeline, asgi):
    require_equal(Server(stored, pipeline, asgi), stored, MONTHS[1], every=10, at_once=300)


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", sorted(LABELS))
def test_every_built_in_trip_of_a_partition(tmp_path, pipeline, asgi):
    stored = Stored(tmp_path / "store", write_tlc_files(tmp_path, MONTHS[:2], 4_000, 1))
    server = Server(stored, pipeline, asgi)
    require_equal(server, stored, MONTHS[1], every=1)
    server.told.clear()
    require_equal(server, stored, MONTHS[1], every=1, at_once=RECORDS)


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", sorted(LABELS))
def test_every_real_trip_of_a_partition(tmp_path, tlc, pipeline, asgi):
    stored = Stored(tmp_path / "store", [tlc / f"yellow_tripdata_{month}.parquet" for month in MONTHS])
    server = Server(stored, pipeline, asgi, learnt=MONTHS[1])
    require_equal(server, stored, MONTHS[2], every=1, at_once=RECORDS)
    server.told.clear()
    require_equal(server, stored, MONTHS[2], every=7)
