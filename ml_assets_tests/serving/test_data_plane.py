"""Who answers: the champion, an arm, the version that was asked for; and the champion where a candidate breaks."""

import threading

import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import InputRefused, NoFiniteScore, NotReady, NotServed
from ml_assets.core.routing import Arm, Routing, alone
from ml_assets.serving.data_plane import Answer, DataPlane, new_id
from ml_assets.serving.picture import Picture

from .conftest import COLUMNS, NEW, OLD, SHADOW, SPECS, model


def test_the_champion_answers(plane, told):
    answer = plane.infer("rides", COLUMNS, 2, request_id="r1", unit="u", features_at=0.0)
    assert answer == Answer("r1", "rides", NEW, "champion", [2.0, 0.0])
    [served] = told
    assert (served.request_id, served.unit, served.variant, served.version) == ("r1", "u", "champion", NEW)
    assert (served.predictions, served.error, served.columns, served.rows) == ([2.0, 0.0], None, COLUMNS, 2)
    assert served.feature_age_s > 1e9
    assert served.at_us > 1e15
    assert served.shadows == ()


def test_a_request_without_an_id_is_given_one(plane, told):
    answers = [plane.infer("rides", COLUMNS, 2) for _ in range(20)]
    assert len({a.request_id for a in answers}) == 20
    assert [s.unit for s in told] == [a.request_id for a in answers]
    assert sorted(ids := [new_id() for _ in range(3)], key=lambda i: i[:12]) == ids


def test_a_version_is_answered_by_its_bundle_whatever_the_routing_says(plane):
    assert plane.infer("rides", COLUMNS, 2, version=OLD[:6]).predictions == [20.0, 0.0]
    assert plane.infer("rides", COLUMNS, 2, version=OLD).variant == "pinned"
    assert plane.model("rides").version == NEW
    with pytest.raises(NotServed, match="0 loaded versions begin so"):
        plane.infer("rides", COLUMNS, 2, version="f00")
    with pytest.raises(NotServed, match="0 loaded versions"):
        plane.model("rides", "")
    both = {s: model(s, 1.0) for s in ("ab" + "0" * 62, "ab" + "1" * 62)}
    plane.put("rides", Picture(alone(next(iter(both))), both, 1))
    with pytest.raises(NotServed, match="2 loaded versions"):
        plane.model("rides", "ab")


def test_what_is_not_served(plane):
    with pytest.raises(NotServed, match="server of rides, tips") as e:
        plane.infer("trips", COLUMNS, 2)
    assert e.value.status == 404
    with pytest.raises(NotReady, match="no loaded champion") as e:
        plane.infer("tips", COLUMNS, 2)
    assert e.value.status == 503
    assert (plane.is_ready("rides"), plane.is_ready("tips"), plane.is_ready("trips")) == (True, False, False)


def test_units_stick_to_their_arm(canary, told):
    units = [f"u{i}" for i in range(200)]
    first = [canary.infer("rides", COLUMNS, 2, unit=u) for u in units]
    again = [canary.infer("rides", COLUMNS, 2, unit=u) for u in units]
    assert [a.variant for a in first] == [a.variant for a in again]
    assert 60 < sum(a.variant == "candidate" for a in first) < 140
    for answer in first:
        assert answer.predictions[0] == {"champion": 2.0, "candidate": 20.0}[answer.variant]
        assert answer.version == {"champion": NEW, "candidate": OLD}[answer.variant]
    assert {s.shadows[0].version for s in told} == {SHADOW}


def test_a_variant_can_be_asked_for(canary):
    for variant in ("champion", "candidate"):
        assert canary.infer("rides", COLUMNS, 2, unit="u1", variant=variant).variant == variant
    with pytest.raises(NotServed, match="the variants champion, candidate"):
        canary.infer("rides", COLUMNS, 2, variant="purple")


def test_what_a_candidate_breaks_the_champion_answers(canary, told):
    canary.model("rides", OLD).scorer.fails = ZeroDivisionError("a bad candidate")
    answers = [canary.infer("rides", COLUMNS, 2, unit=f"u{i}") for i in range(50)]
    assert {(a.variant, a.version, a.predictions[0]) for a in answers} == {("champion", NEW, 2.0)}
    failed = [s for s in told if s.error]
    assert {(s.variant, s.error, s.predictions) for s in failed} == {
        ("candidate", "ZeroDivisionError: a bad candidate", None)
    }
    assert len(told) == 50 + len(failed) > 60


def test_what_the_champion_breaks_is_an_error(canary, told):
    canary.model("rides", NEW).scorer.fails = ZeroDivisionError("a bad champion")
    with pytest.raises(ZeroDivisionError):
        canary.infer("rides", COLUMNS, 2, variant="champion")
    with pytest.raises(ZeroDivisionError):
        canary.infer("rides", COLUMNS, 2, version=NEW)
    assert [s.error for s in told] == ["ZeroDivisionError: a bad champion"] * 2


def test_a_candidate_may_have_other_features_than_the_champion(plane, told):
    more = (*SPECS, FeatureSpec("hour", "number", "hours"))
    models = {NEW: model(NEW, 1.0), OLD: model(OLD, 10.0, specs=more)}
    arms = (Arm("champion", NEW, 0), Arm("candidate", OLD, 10_000))
    plane.put("rides", Picture(Routing(NEW, arms), models, 2))
    assert plane.infer("rides", {**COLUMNS, "hour": [1.0, 2.0]}, 2).variant == "candidate"
    assert plane.infer("rides", {**COLUMNS, "hour": [1.0, 2.0]}, 2, variant="champion").predictions == [2.0, 0.0]
    # Who does not know of it yet is answered by the champion.
    assert plane.infer("rides", COLUMNS, 2).variant == "champion"
    assert "column hour is missing" in told[-2].error


def test_unknown_columns_are_refused_by_name(plane):
    with pytest.raises(InputRefused, match="column 'mils' is not a feature"):
        plane.infer("rides", {"mils": [1.0], "zone": ["a"]}, 1)
    many = {f"c{i}": [1.0] for i in range(500)}
    with pytest.raises(InputRefused, match="and 480 more"):
        plane.infer("rides", many, 1)


@pytest.mark.parametrize("times", [float("nan"), 1e308])
def test_a_prediction_that_is_no_number_is_no_answer(plane, told, times):
    plane.put("rides", Picture(alone(NEW), {NEW: model(NEW, times)}, 3))
    with pytest.raises(NoFiniteScore, match="no finite prediction"):
        plane.infer("rides", {"miles": [1e200], "zone": ["a"]}, 1)
    assert "NoFiniteScore" in told[0].error


def test_what_no_model_can_read_is_the_clients_mistake_and_nobodys_failure(canary, told):
    for variant in ("champion", "candidate"):
        with pytest.raises(InputRefused, match="column zone, row 0: 3, not text"):
            canary.infer("rides", {"miles": [1.0], "zone": [3]}, 1, variant=variant)
    assert told == []


def test_keys_and_times_of_the_rows_go_to_the_hooks(plane, told):
    plane.infer("rides", COLUMNS, 2, keys=[("a", 1), None], events_us=[5, 6])
    assert (told[0].keys, told[0].events_us) == ([("a", 1), None], [5, 6])


def test_a_request_ends_with_the_picture_it_began_with(plane):
    """The swap takes place while the model computes."""
    slow, entered, go_on = model(NEW, 1.0), threading.Event(), threading.Event()
    score = slow.scorer.scores

    def scores(columns, rows):
        entered.set()
        assert go_on.wait(10)
        return score(columns, rows)

    slow.scorer.scores = scores
    plane.put("rides", Picture(alone(NEW), {NEW: slow}, 3))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(plane.infer("rides", COLUMNS, 2)))
    asking.start()
    assert entered.wait(10)
    plane.put("rides", Picture(alone(OLD), {OLD: model(OLD, 10.0)}, 4))
    assert plane.infer("rides", COLUMNS, 2).version == OLD
    go_on.set()
    asking.join()
    assert [(a.version, a.predictions) for a in answers] == [(NEW, [2.0, 0.0])]


def test_a_plane_without_hooks():
    plane = DataPlane(["rides"])
    plane.put("rides", Picture(alone(NEW), {NEW: model(NEW, 1.0)}, 1))
    assert plane.infer("rides", COLUMNS, 2).predictions == [2.0, 0.0]
