"""Sticky assignment: uniform, the same everywhere, and monotone when a weight rises."""

import hashlib
import subprocess
import sys
from math import log, sqrt

import pytest

from ml_assets.core.errors import RoutingError
from ml_assets.core.routing import WHOLE, Arm, Routing, alone

UNITS = [f"unit-{i}" for i in range(4_000)]


def routing(*weights: int, salt: str = "r1") -> Routing:
    names = ("champion", "candidate", "other", "third")
    arms = tuple(Arm(name, str(i) * 64, w) for i, (name, w) in enumerate(zip(names, weights, strict=False)))
    return Routing("0" * 64, arms, salt)


def shares(told: Routing) -> dict[str, float]:
    assigned = [told.assign(u).variant for u in UNITS]
    return {a.variant: assigned.count(a.variant) / len(UNITS) for a in told.arms}


@pytest.mark.parametrize("weights", [(9_500, 500), (5_000, 5_000), (7_500, 2_000, 500), (2_500, 2_500, 2_500, 2_500)])
def test_units_fall_to_the_arms_by_their_weights(weights):
    for salt in ("r1", "r2", ""):
        told = routing(*weights, salt=salt)
        for arm in told.arms:
            p = arm.weight / WHOLE
            # Five standard errors: a correct hash fails once in 1.7 million.
            assert abs(shares(told)[arm.variant] - p) < 5 * sqrt(p * (1 - p) / len(UNITS)), (salt, arm)


@pytest.mark.parametrize("made", [lambda i: str(i), lambda i: f"{i:09}", lambda i: f"\x00{i}", lambda i: "x" * i])
def test_no_shape_of_names_is_favoured(made):
    told = routing(5_000, 5_000)
    taken = sum(told.assign(made(i)).variant == "candidate" for i in range(2_000))
    assert abs(taken - 1_000) < 5 * sqrt(500)


def test_all_arms_and_nothing_else_answers():
    assert {routing(0, WHOLE).assign(u).variant for u in UNITS[:50]} == {"candidate"}
    assert {routing(WHOLE, 0).assign(u).variant for u in UNITS[:50]} == {"champion"}
    assert alone("0" * 64).assign("anything").bundle == "0" * 64


@pytest.mark.parametrize(
    "path",
    [
        [(WHOLE - w, w) for w in (0, 1, 100, 500, 2_500, 5_000, 9_999, WHOLE)],
        [(8_000 - w, w, 2_000) for w in (0, 500, 2_500, 8_000)],
    ],
    ids=["one candidate", "beside another"],
)
def test_raising_a_weight_never_moves_a_unit_away(path):
    holders: set[str] = set()
    for weights in path:
        now = {u for u in UNITS if routing(*weights).assign(u).variant == "candidate"}
        assert holders <= now
        holders = now
    assert holders


def test_the_same_unit_has_the_same_arm_in_another_process_and_by_another_hand():
    told = routing(7_000, 3_000)
    code = (
        "from ml_assets.core.routing import *; r = Routing('0'*64, (Arm('champion','0'*64,7000),"
        "Arm('candidate','1'*64,3000)), 'r1'); print(*[r.assign(f'unit-{i}').variant for i in range(200)])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert there == [told.assign(u).variant for u in UNITS[:200]]

    def by_hand(unit: str) -> str:
        bits = hashlib.blake2b(f"2:r1{unit}".encode(), digest_size=64).digest()
        one, other = (int.from_bytes(bits[i : i + 8], "big") / 2**64 for i in (0, 8))
        return "candidate" if -log(other) / 3_000 < -log(one) / 7_000 else "champion"

    assert there == [by_hand(u) for u in UNITS[:200]]


def test_each_rollout_draws_its_units_anew():
    one, other = routing(5_000, 5_000, salt="a"), routing(5_000, 5_000, salt="b")
    same = sum(one.assign(u).variant == other.assign(u).variant for u in UNITS)
    assert abs(same - len(UNITS) / 2) < 5 * sqrt(len(UNITS) / 4)
    # A salt and a unit are not glued together: "a" + "bc" is not "ab" + "c".
    glued = [routing(5_000, 5_000, salt=s).assign(u).variant for s, u in [("a", f"b{u}") for u in UNITS[:64]]]
    apart = [routing(5_000, 5_000, salt=s).assign(u).variant for s, u in [("ab", u) for u in UNITS[:64]]]
    assert glued != apart


@pytest.mark.parametrize(
    ("arms", "named"),
    [
        ((), "first arm none"),
        ((Arm("champion", "0" * 64, 9_000),), "sum to 9000"),
        ((Arm("champion", "0" * 64, 10_500), Arm("candidate", "1" * 64, -500)), "weight -500"),
        ((Arm("candidate", "1" * 64, WHOLE),), "first arm candidate"),
        ((Arm("champion", "1" * 64, WHOLE),), "first arm champion that is not"),
        ((Arm("champion", "0" * 64, WHOLE), Arm("champion", "0" * 64, 0)), "champion: 2 times"),
        ((Arm("champion", "0" * 64, WHOLE), *(Arm(f"a{i}", "1" * 64, 0) for i in range(8))), "9 arms"),
    ],
)
def test_arms_that_cannot_share_the_traffic_are_refused(arms, named):
    with pytest.raises(RoutingError, match=named):
        Routing("0" * 64, arms)


def test_what_is_to_be_loaded_is_each_bundle_once():
    told = Routing(
        "c" * 64, (Arm("champion", "c" * 64, WHOLE), Arm("candidate", "d" * 64, 0)), "r", ("d" * 64,), ("b",)
    )
    assert told.bundles == ("c" * 64, "d" * 64, "b")
    assert told.arm("candidate").bundle == "d" * 64
    assert told.arm("nobody") is None
