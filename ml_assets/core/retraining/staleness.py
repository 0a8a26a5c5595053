"""Staleness of the drift asset, per partition: which reports are missing, out of date, or say that the reference is.

Computed from what was observed and a given clock, so that it can be tested; Dagster's own freshness looks at the
last materialization of any partition. What is done about it is decided in `decision`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ml_assets.core.errors import EvidenceError
from ml_assets.core.retraining.evidence import Finding, Source
from ml_assets.core.retraining.observed import Observed, Partition, Realised, Report, Tenure
from ml_assets.core.retraining.staleness_rules import StalenessRules

SOURCES = ("drift", "performance")
MOST_SEEN = 100
"""Results of each source that a training is said to know of."""


def staleness(observed: Observed, rules: StalenessRules, now: datetime) -> tuple[Finding, ...]:
    """What is stale, oldest partition first.

    A partition is judged against the champion that answers it; those older than any champion are nobody's. Clocks
    start when a partition's present content landed or when that champion was released, whichever is later.

    - `unjudged`: content landed that no report covers.
    - `superseded`: a report is of other content, or of another champion.

      Where the run failed that should have judged one of the last `retries` partitions before the newest, another
      one is asked for whenever a partition lands; its findings are not the same any more.
    - `reference_outdated`: k of the last n partitions, in order of event time, drifted or broke their bound. Only
      present results against the live champion count, and only with a verdict: `not_enough_rows` is none. What was
      judged by former bounds is no evidence until it is judged again, and keeps its place.
    - `overdue`: of the partitions that the live champion answers, one after the last with a verdict has no report by
      its deadline, or `empty` of them in a row had too few rows. What a person accepted never to land is not waited
      for.

    Args:
        observed: what is known.
        rules: bounds.
        now: the time, aware.

    Raises:
        EvidenceError: `now` has no zone.
    """
    if now.tzinfo is None:
        raise EvidenceError(
            "staleness", found=f"{now}, a time without a zone", expected="an aware time", cure="give the time in UTC"
        )
    owed = [(p, t) for p in observed.in_order if not p.given_up and (t := observed.tenure_of(p)) is not None]
    found = [
        *_not_covered(observed, owed, rules, now),
        *_outdated(observed, rules),
        *_overdue(observed, owed, rules, now),
    ]
    place = {p.key: i for i, p in enumerate(observed.in_order)}
    return tuple(sorted(found, key=lambda f: place[f.subject]))


def is_current(made: Report | Realised, partition: Partition, tenure: Tenure) -> bool:
    """Whether a result is of the partition's present content and of the champion that answers it."""
    return made.champion == tenure.bundle and not _changed(made.versions, partition.versions)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Nouns that are there now and were not read, or in another version."""
    return [noun for noun, version in now.items() if before.get(noun) != version]


def _not_covered(
    observed: Observed, owed: Sequence[tuple[Partition, Tenure]], rules: StalenessRules, now: datetime
) -> Iterator[Finding]:
    landed = [p.key for p in observed.in_order if p.landed]
    tried_again = set(landed[-rules.retries - 1 : -1])
    for partition, tenure in owed:
        report = observed.newest_reports.get(partition.key)
        if not partition.landed or now < max(partition.at, tenure.at) + rules.grace:
            continue
        if report is not None and is_current(report, partition, tenure):
            continue
        missing = sorted(partition.versions.keys() - report.versions.keys()) if report else ["data"]
        changed = sorted(_changed(report.versions, partition.versions)) if report else []
        changed += ["champion"] if report and report.champion != tenure.bundle else []
        told = " and ".join(missing or changed)
        words = f"{told} landed that no report covers" if missing else f"{told} changed after the report"
        run, ids, after = observed.failed_runs.get(partition.key), {"report": report.id} if report else {}, {}
        if run is not None:
            words, ids = f"{words}: run {run} failed", {**ids, "run": run}
            # Else the key of the run that failed would be that of every other.
            after = {"tried again after": landed[-1]} if partition.key in tried_again else {}
        yield Finding(
            reason="unjudged" if missing else "superseded",
            source="monitor",
            subject=partition.key,
            words=f"{partition.key}: {words}",
            champion=tenure.bundle,
            versions={**partition.versions, **after},
            numbers={"missing": missing, "changed": changed},
            ids=ids,
        )


def _outdated(observed: Observed, rules: StalenessRules) -> Iterator[Finding]:
    if (live := observed.live) is None:
        return
    for source, bound in zip(SOURCES, (rules.drift, rules.performance), strict=True):
        if bound is None:
            continue
        counted = _with_a_verdict(observed, source, live)[-bound.n :]
        bad = [(p, made) for p, made in counted if _is_bad(made) and not made.by_former_bounds]
        if len(bad) < bound.k:
            continue
        what = "reports drifted" if source == "drift" else "partitions broke their bound"
        listed = ", ".join(_in_words(made) for _, made in bad)
        words = f"{len(bad)} of the last {len(counted)} {what} ({bound.k} are enough): {listed}"
        if bound.n == 1:
            words = f"{listed} {'drifted' if source == 'drift' else 'broke its bound'}"
        for partition, made in bad:
            yield replace(
                _about(made, live),
                words=words,
                numbers={"bad": len(bad), "of": len(counted), "k": bound.k, "n": bound.n, **_numbers(made)},
                ids={"report": made.id},
                abrupt=made.abrupt or _drifted_abruptly(observed, partition, live),
            )


def seen(observed: Observed) -> dict[str, int]:
    """What a training that is asked for now has to reckon with: identity of each finding that the newest results
    against the live champion make, or would make by other bounds -> rows with a label, 0 of drift.

    So a bound that is changed afterwards makes no new evidence of what was known.
    """
    if (live := observed.live) is None:
        return {}
    newest = [made for s in SOURCES for _, made in _with_a_verdict(observed, s, live)[-MOST_SEEN:]]
    return {_about(m, live).identity: m.rows if isinstance(m, Realised) else 0 for m in newest}


def _about(made: Report | Realised, live: Tenure) -> Finding:
    """That a result makes the reference outdated."""
    source: Source = "drift" if isinstance(made, Report) else "performance"
    return Finding("reference_outdated", source, made.partition, "", live.bundle, dict(made.versions))


def _with_a_verdict(observed: Observed, source: str, live: Tenure) -> list[tuple[Partition, Report | Realised]]:
    """Present results against the live champion, oldest partition first."""
    newest: Mapping[str, Report | Realised]
    newest = observed.newest_reports if source == "drift" else observed.newest_realised
    return [
        (p, made)
        for p in observed.in_order
        if (made := newest.get(p.key)) is not None
        and made.champion == live.bundle
        and (tenure := observed.tenure_of(p)) is not None
        and is_current(made, p, tenure)
        and not (isinstance(made, Report) and made.verdict == "not_enough_rows")
    ]


def _drifted_abruptly(observed: Observed, partition: Partition, live: Tenure) -> bool:
    """Whether a single report says so: too little to retrain for, enough to say what to learn from."""
    report = observed.newest_reports.get(partition.key)
    current = report is not None and is_current(report, partition, live)
    return report is not None and current and report.verdict == "drifted" and report.abrupt


def _is_bad(made: Report | Realised) -> bool:
    return made.verdict == "drifted" if isinstance(made, Report) else made.broken


def _numbers(made: Report | Realised) -> dict[str, float | int]:
    return {} if isinstance(made, Report) else {"value": made.value, "bound": made.bound, "rows": made.rows}


def _in_words(made: Report | Realised) -> str:
    if isinstance(made, Realised):
        return f"{made.partition} ({made.value:.4g} above {made.bound:.4g} on {made.rows:,} rows)"
    return f"{made.partition} (abruptly)" if made.abrupt else made.partition


def _overdue(
    observed: Observed, owed: Sequence[tuple[Partition, Tenure]], rules: StalenessRules, now: datetime
) -> Iterator[Finding]:
    if rules.after is None:
        return
    silent: list[tuple[Partition, Tenure, Report | None]] = []
    for partition, tenure in reversed(owed):
        if tenure is not observed.live:
            break
        report = observed.newest_reports.get(partition.key)
        if report is not None and not (partition.landed and is_current(report, partition, tenure)):
            report = None
        if report is not None and report.verdict != "not_enough_rows":
            break
        silent.append((partition, tenure, report))
    empty = sum(report is not None for _, _, report in silent)
    for partition, tenure, report in reversed(silent):
        deadline = max(partition.at, tenure.at) + rules.after
        if now < deadline or (report is not None and empty < rules.empty):
            continue
        run = observed.failed_runs.get(partition.key)
        if report is not None:
            why = f"{empty} reports in a row had too few rows ({rules.empty} are enough)"
        elif not partition.landed:
            why = "it has not landed"
        else:
            why = f"run {run} failed" if run else "none was made"
        yield Finding(
            "overdue",
            "monitor",
            partition.key,
            f"{partition.key}: no report with a verdict by {deadline:%Y-%m-%d %H:%M %Z}: {why}",
            champion=tenure.bundle,
            versions=dict(partition.versions),
            numbers={"deadline": deadline.isoformat(), "empty": empty, "landed": partition.landed},
            ids={**({"report": report.id} if report else {}), **({"run": run} if run else {})},
        )
