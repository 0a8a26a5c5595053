"""Findings that no monitor makes: the schedule's, a person's, and that there is no champion yet.

They go through `decision.decide` like any other evidence.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ml_assets.core.retraining.evidence import Finding
from ml_assets.core.retraining.observed import Observed, Partition

MOST_LISTED = 4
"""Missing partitions of which only the first and the last are named."""


def scheduled(tick: datetime, cron: str, champion: str | None) -> Finding:
    """The schedule asks.

    Args:
        tick: the instant that the schedule names, not that at which it was looked at; aware.
        cron: the schedule.
        champion: the live bundle.
    """
    words = f"schedule {cron} of {tick:%Y-%m-%d %H:%M %Z}"
    return Finding("scheduled", "clock", tick.isoformat(), words, champion, numbers={"cron": cron})


def asked(request: str, by: str, why: str, champion: str | None) -> Finding:
    """A person asks.

    Args:
        request: an id: the same request is answered once.
        by: who.
        why: in their words.
        champion: the live bundle.
    """
    return Finding("asked", "person", request, f"{by} asks: {why}", champion, numbers={"by": by, "why": why})


def first(partitions: Sequence[Partition], champion: str | None, window: int) -> tuple[Finding, ...]:
    """That nothing answers yet and a learning window has landed; empty otherwise.

    It rests on the newest partition, so that each that lands after a rejected first model is new evidence.

    Args:
        partitions: in any order.
        champion: the live bundle.
        window: partitions to learn from.
    """
    landed = sorted((p for p in partitions if p.landed), key=lambda p: p.window.start)
    if champion is not None or len(landed) < window:
        return ()
    newest = landed[-1]
    words = f"no champion yet, and {len(landed)} partitions have landed ({window} are learnt from)"
    return (Finding("first", "registry", newest.key, words, versions=dict(newest.versions)),)


def unprepared(
    partitions: Sequence[Partition], champion: str | None, window: int, grace: timedelta, now: datetime
) -> tuple[Finding, ...]:
    """That nothing answers yet, and some of what a first model would learn from has no features; empty otherwise.

    A pipeline that is added to a table with a history has none, and automation follows only what is new.

    Args:
        partitions: in any order.
        champion: the live bundle.
        window: partitions to learn from.
        grace: time that a partition is given to get its features by itself.
        now: the time, aware.
    """
    landed = sorted((p for p in partitions if p.landed), key=lambda p: p.window.start)
    if champion is not None or len(landed) < window:
        return ()
    return tuple(
        Finding("unprepared", "registry", p.key, f"{p.key}: no features, from which a first model would learn")
        for p in landed[-window:]
        if "features" not in p.versions and p.at + grace <= now
    )


def gaps(observed: Observed, before: int) -> dict[str, list[str]]:
    """Partition with rows -> partitions that its features look back at and of which there are no rows; only with some.

    Args:
        observed: what is known.
        before: partitions before its own that a feature may look into.
    """
    found, missing = {}, deque[tuple[int, str]]()
    for i, p in enumerate(observed.in_order):
        while missing and missing[0][0] < i - before:
            missing.popleft()
        if not p.validated:
            missing.append((i, p.key))
        elif missing:
            found[p.key] = [key for _, key in missing]
    return found


def held_up(
    observed: Observed, lacking: Mapping[str, Sequence[str]], rows: Mapping[str, str], grace: timedelta, now: datetime
) -> tuple[Finding, ...]:
    """Partitions without features of their present rows, since automation waits for one before them that never comes.

    Until `grace` has passed since rows landed, so do we: features that are made without a partition are null where
    they would look into it, and are made again when it lands. One that a person accepted never to land is not waited
    for. Of those without features that a champion answers, `staleness` says that they are `unjudged`.

    Args:
        observed: what is known.
        lacking: partition -> what `gaps` found.
        rows: of these, partition -> version of the rows that features would be made from; none where they were.
        grace: time that a missing partition is given.
        now: the time, aware.
    """
    champion = observed.live.bundle if observed.live else None
    place = {p.key: p for p in observed.in_order}
    found = []
    for key, version in rows.items():
        p, missing = place[key], lacking[key]
        is_unjudged = not p.ready and observed.tenure_of(p) is not None
        if (is_unjudged or now < p.at + grace) and not all(place[k].given_up for k in missing):
            continue
        listed = ", ".join(missing) if len(missing) < MOST_LISTED else f"{missing[0]} … {missing[-1]} ({len(missing)})"
        words = f"{key}: features look back at {listed}, of which there are no rows: they do without"
        versions, numbers = {"validated": version} if p.ready else {}, {"missing": len(missing), "validated": version}
        found.append(Finding("unprepared", "registry", key, words, champion, versions, numbers))
    return tuple(found)
