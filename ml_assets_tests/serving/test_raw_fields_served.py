"""`ml-assets serve` with raw fields: the partition's answers over a socket, and history that follows the store."""

import json

import pytest

from ml_assets.core.releases import RELEASED
from ml_assets.resources.bundle_files import save
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.resources.sources.simulated import write_tlc_files
from ml_assets.served import raw_fields_of
from ml_assets_tests.serving.running import END, serving, until
from ml_assets_tests.serving.trips import Stored, bundle_of

pytestmark = pytest.mark.slow
PIPELINE, MONTHS = "trip_duration", ("2019-01", "2019-02", "2019-03")
PATH = f"/predict/{PIPELINE}"


def test_a_server_answers_raw_fields_and_follows_the_store(tmp_path):
    files = list(write_tlc_files(tmp_path / "files", MONTHS, 2000, 0))
    stored, fields = Stored(tmp_path / "store", files[:2]), raw_fields_of(PIPELINE)
    bundle = bundle_of(fields, stored.features(fields, MONTHS[0]))
    save(bundle, tmp_path / "models")
    released = {
        "bundle": bundle.sha256, "as_of": "2019-01", "as_of_end": END, "scores_from": END, "record": None,
        "forced": True, "by": "a test", "reason": "a test",
    }  # fmt: skip
    LedgerDatabase(f"sqlite:///{tmp_path / 'ledger.db'}").append(PIPELINE, RELEASED, released, after=0)

    def wanted(month: str, rows: list[int]) -> list[float]:
        features = stored.features(fields, month)[rows]
        return bundle.predict(bundle.feature_frame(features)).tolist()

    with serving(tmp_path, "--pipeline", PIPELINE) as server:

        def predictions(month: str, rows: list[int]) -> list[float]:
            records = stored.records(fields, month, rows)
            status, answer, _ = server.ask("POST", PATH, json.dumps(records).encode())
            assert status == 200, answer
            return json.loads(answer)["predictions"]

        rows = list(range(0, 1500, 100))
        assert predictions(MONTHS[1], rows) == wanted(MONTHS[1], rows)
        assert server.metric("ml_assets_history_rows") > 2000
        status, page, _ = server.ask("GET", "/docs")
        assert status == 200
        assert PATH.encode() in page
        status, answer, _ = server.ask("POST", PATH, b'{"pickup_zone": 0}')
        assert status == 422
        assert {"pickup_zone_in_range", "missing_field"} <= {f["rule"] for f in json.loads(answer)["faults"]}

        stored.land(files[2])
        until(lambda: predictions(MONTHS[2], rows) == wanted(MONTHS[2], rows), 20, every=0.5)
        assert server.metric("ml_assets_history_failures") == 0
        assert server.metric("ml_assets_feature_age_seconds_count") > 0
