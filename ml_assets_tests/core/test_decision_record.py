import json

import pytest

from ml_assets.core.decision_record import canonical, own_sha256, record_faults, sha256_of
from ml_assets.resources.storage import record_version


@pytest.fixture
def record(judged):
    return judged.decide(judged.bundle("2018-06"))


def test_it_carries_the_hashes_of_what_it_rests_on(judged, record):
    told = judged.evaluation(record["bundle"])
    assert record["evaluation"] == record_version(told).value, "the data version that the UI shows"
    assert record["holdout"] == told["holdout"]
    assert record["policy_sha256"] == sha256_of(record["policy"])
    assert record["policy"] == {
        "metric": "mae", "margin": 0.01, "non_inferiority": 0.0, "slice_margin": 0.05, "calibration_margin": 0.02,
        "min_labels": 500,
    }  # fmt: skip
    assert record["champion"] is None
    assert record["sha256"] == own_sha256(record)
    assert json.loads(canonical(record)) == record


def test_the_same_evidence_gives_the_same_record(judged, record):
    assert judged.decide(record["bundle"]) == record
    assert judged.kinds() == ["decided"], "and the ledger keeps it once"
    other = judged.decide(record["bundle"], rows=50_001)
    assert other["sha256"] != record["sha256"]
    assert judged.decide(record["bundle"]) == record
    assert judged.kinds() == ["decided", "decided", "decided"], "each is the last word until another is said"


def test_the_champion_it_was_compared_with(judged):
    champion = judged.make_live("2018-03")
    record = judged.decide(judged.bundle("2018-06"))
    assert record["champion"] == {"bundle": champion, "as_of": "2018-03", "sequence": 2}


def test_the_ledger_keeps_what_the_summary_needs(judged, record):
    [event] = judged.desk.events()
    assert {name: value for name, value in event.facts.items() if name != "at"} == {
        "bundle": record["bundle"], "as_of": "2018-06", "scores_from": "2018-07-01T00:00:00", "verdict": "promote",
        "record": record["sha256"], "reason": "a test", "cause": None, "reasons": record["reasons"],
        "labels_missing": None,
        "rows_trained": 90_000, "holdout_metric": 2.744, "holdout_metric_naive": 7.0,
            "promised": {"metric": "mae", "estimate": 2.744, "low": None, "high": None},
    }  # fmt: skip


def test_every_change_of_a_record_is_found(judged, record):
    [event] = judged.desk.events()
    assert record_faults(record, event) == []
    assert "not there" in record_faults(None, event)[0]
    assert len(record_faults({}, event)) == 2
    assert record_faults({**record, "sha256": "0" * 64}, event)
    for name in record.keys() - {"sha256"}:
        wrong = {**record, name: "another"}
        assert record_faults(wrong, event), name
        assert record_faults({**wrong, "sha256": own_sha256(wrong)}, event), name
    less = {name: value for name, value in record.items() if name != "checks"}
    assert record_faults(less, event)
