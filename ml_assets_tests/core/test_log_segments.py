"""Which files hold a row: exactly one is read for it, whatever was merged, removed and listed meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.log_segments import DAY_US, Segment, around, day_of, origin_of, reading_plan


def segment(**changes: object) -> Segment:
    told = {
        "kind": "requests",
        "first_at": 5,
        "first_event": 1,
        "last_event": 9,
        "rows": 3,
        "origin": "a.1",
        "number": 1,
    }
    return Segment(**{**told, **changes})


@given(st.integers(-(2**60), 2**60), st.integers(0, 2**40), st.sampled_from(["requests", "labels"]), st.booleans())
def test_a_name_says_what_a_segment_holds(at, rows, kind, merged):
    one = segment(first_at=at, first_event=at - 1, last_event=at + 1, rows=rows, kind=kind, merged=merged)
    assert Segment.read(one.name) == one
    assert len(one.name) < 200


def test_no_time_makes_a_name_that_can_not_be_read():
    wild = Segment.read(segment(first_event=-(2**63), last_event=2**63 - 1).name)
    assert (wild.first_event, wild.last_event) == (-(2**62), 2**62 - 1)
    assert around("0" + "f" * 31).days, "the latest that is read as a time"
    assert around("f" * 32) is None


def test_names_sort_by_time():
    times = [-(10**15), -1, 0, 1, 10**15]
    names = [segment(first_at=at).name for at in times]
    assert names == sorted(names)


def test_other_files_are_no_segments():
    name = segment().name
    for other in (f".{name}", f"{name}.part", "notes.txt", name.replace("requests", "answers"), ""):
        assert Segment.read(other) is None


def test_a_segment_overlaps_a_window_as_windows_are_half_open():
    one = segment(first_event=10, last_event=20)
    assert one.overlaps(20, 30)
    assert one.overlaps(0, 11)
    assert not one.overlaps(0, 10)
    assert not one.overlaps(21, 30)


def test_days_and_origins():
    assert day_of(DAY_US - 1) == "1970-01-01"
    assert day_of(DAY_US) == "1970-01-02"
    assert origin_of("a-b/c", 3) == "a_b_c.3"


class Folder:
    """A folder in which segments are merged and removed, step by step, as compaction does it."""

    def __init__(self, segments: int) -> None:
        self.files = {f"s{i}": [f"s{i}"] for i in range(segments)}
        self.merges = 0

    def listing(self) -> dict[str, list[str]]:
        return dict(self.files)

    def merge(self, names: list[str]) -> None:
        self.merges += 1
        inputs = {n: self.files[n] for n in names if n in self.files}
        if inputs:
            self.files[f"m{self.merges}"] = sorted({s for held in inputs.values() for s in held})

    def remove(self, name: str) -> None:
        """Only what a merged file holds as a whole, and not by removing it for its own sake."""
        held = set(self.files.get(name, ()))
        if any(
            held < set(h) or (held == set(h) and n > name)
            for n, h in self.files.items()
            if n.startswith("m") and n != name
        ):
            self.files.pop(name, None)


STEPS = st.lists(st.tuples(st.sampled_from(["merge", "remove"]), st.sets(st.integers(0, 5), min_size=1)), max_size=12)


@given(STEPS, STEPS)
def test_every_row_is_read_once_whatever_happens_between_two_looks(before, between):
    folder = Folder(6)

    def act(steps):
        for what, picked in steps:
            names = sorted(folder.files)
            chosen = [names[i % len(names)] for i in picked]
            if what == "merge":
                folder.merge(chosen)
            else:
                for name in chosen:
                    folder.remove(name)

    act(before)
    first = folder.listing()
    act(between)
    second = folder.listing()
    merged = {n: held for n, held in second.items() if n.startswith("m")}
    plan = reading_plan([n for n in first if n.startswith("s")], merged)
    everything = {**first, **second}
    read = [s for name, taken in plan.items() for s in everything[name] if taken is None or s in taken]
    assert sorted(read) == [f"s{i}" for i in range(6)]
