"""What a step of a training has to tell a tracker: one entry, and the run that it belongs to.

Pure data, and how it is named and written as text. The journal on disk is in `resources.tracking_queue`, what each
tracker makes of an entry in `resources.tracking_*`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

TrialState = Literal["complete", "pruned", "failed", "running"]
Part = Literal["train", "validation", "holdout"]

NAME_LENGTH = 250
"""Of a parameter, metric or tag, at most: MLflow's limit, the tightest of the trackers'."""
PARAM_LENGTH = 6000
"""Of a parameter's text, at most: MLflow's limit."""

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_\-. /]")


@dataclass(frozen=True)
class TrackedRun:
    """A run of the orchestrator as of one partition: a tracker shows it as one run.

    Args:
        pipeline: name of the pipeline, and of the tracker's experiment.
        dagster_run_id: "" where nothing was run, as when a person rolls back.
        as_of: key of the as-of partition; "" where there is none.
        started_at: Unix time in seconds.
        job: name of the job.
        reason: why it was started.
        git_commit: of the code; None outside a repository.
    """

    pipeline: str
    dagster_run_id: str
    as_of: str
    started_at: float
    job: str | None = None
    reason: str | None = None
    git_commit: str | None = None

    @property
    def name(self) -> str:
        """As people read it.

        >>> TrackedRun("trip_duration", "0a1b", "2019-03", 0.0).name
        'trip_duration 2019-03'
        """
        return f"{self.pipeline} {self.as_of}".strip()

    def tags(self) -> dict[str, str]:
        """What leads back to the orchestrator and to the code."""
        told = {
            "dagster_run_id": self.dagster_run_id, "as_of": self.as_of, "job": self.job, "reason": self.reason,
            "git_commit": self.git_commit,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class Trial:
    """One trial of a tuning.

    Args:
        number: within its study, from 0.
        params: what was tried.
        score: the value that the study minimizes; None where the trial has none.
        state: how it ended; `running` where the process died in it.
        started_at, ended_at: Unix times in seconds; None where not known.
    """

    number: int
    params: Mapping[str, Any]
    score: float | None
    state: TrialState
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class DatasetInput:
    """What a run has read.

    Args:
        name: such as `trip_duration/training_set 2019-03`.
        sha256: of its content.
        part: what it was for.
        rows: how many.
        source: where it is: a path or URL, or an asset key with a partition.
    """

    name: str
    sha256: str
    part: Part
    rows: int
    source: str


@dataclass(frozen=True)
class TrackedBundle:
    """A bundle to be kept with the run.

    Args:
        root: folder or URL of the bundles.
        sha256: its address below the root.
        register: whether it becomes a version of the pipeline's registered model: the candidate, not its members.
    """

    root: str
    sha256: str
    register: bool = True


@dataclass(frozen=True)
class Entry:
    """What one step has to tell.

    Names are free text; they are made fit for the tracker and preceded by the step's name, so that steps can't clash.

    Args:
        params: nested as one likes; see `flattened`.
        metrics: name -> value.
        curves: name -> a value per iteration, from 1.
        pictures: name -> PNG.
        files: file name -> content, such as a report.
        trials: of a tuning.
        datasets: what was read.
        data_versions: partition or asset -> SHA-256 of what was learnt from.
        bundle: the model that came of it.
        champion: SHA-256 of the bundle that was released.
        tags: more of the run's tags.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    trials: Sequence[Trial] = ()
    datasets: Sequence[DatasetInput] = ()
    data_versions: Mapping[str, str] = field(default_factory=dict)
    bundle: TrackedBundle | None = None
    champion: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON, without pictures and files, whose bytes are kept beside it; numbers of NumPy become Python's."""
        return {
            "params": {name: json.loads(_json(value)) for name, value in self.params.items()},
            "metrics": {name: float(value) for name, value in self.metrics.items()},
            "curves": {name: [float(v) for v in values] for name, values in self.curves.items()},
            "trials": [
                {
                    **asdict(t),
                    "params": json.loads(_json(t.params)),
                    "score": None if t.score is None else float(t.score),
                }
                for t in self.trials
            ],
            "datasets": [asdict(d) for d in self.datasets],
            "data_versions": dict(self.data_versions),
            "bundle": None if self.bundle is None else asdict(self.bundle),
            "champion": self.champion,
            "tags": dict(self.tags),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], pictures: Mapping[str, bytes], files: Mapping[str, bytes]) -> Self:
        """Read what `to_json` gave, with the bytes that were kept beside it."""
        return cls(
            **{
                **record,
                "trials": tuple(Trial(**t) for t in record["trials"]),
                "datasets": tuple(DatasetInput(**d) for d in record["datasets"]),
                "bundle": record["bundle"] and TrackedBundle(**record["bundle"]),
                "pictures": pictures,
                "files": files,
            }
        )


def flattened(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Parameters as names and texts: nested names are joined by dots, values written as JSON, text as it is.

    >>> flattened({"trees": 300, "space": {"window": [2, 3]}, "loss": "l1", "bagging": None, "exact": True})
    {'trees': '300', 'space.window': '[2, 3]', 'loss': 'l1', 'bagging': 'null', 'exact': 'true'}
    """
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else _json(value)
            flat[f"{prefix}{name}"] = text if len(text) <= PARAM_LENGTH else f"{text[: PARAM_LENGTH - 1]}…"
    return flat


def names_for(step: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> what a tracker calls it: in the letters that every tracker takes, no two the same, below the step if any.

    >>> names_for("evaluation", ["mae", "mae pickup_hour > 15", "mae pickup_hour < 15"])
    {'mae': 'evaluation/mae', 'mae pickup_hour > 15': 'evaluation/mae pickup_hour _ 15', \
'mae pickup_hour < 15': 'evaluation/mae pickup_hour _ 15.2'}
    """
    told: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        # No empty or dotted part between slashes: trackers keep names as paths.
        whole = _NOT_IN_A_NAME.sub("_", f"{step}/{name}" if step else name)
        clean = "/".join(p if p.strip(". ") else "_" for p in whole.split("/"))
        told[name] = one = next(c for c in _numbered(clean[: NAME_LENGTH - 5]) if c not in taken)
        taken.add(one)
    return told


def unused(name: str, value: str, used: Mapping[str, str]) -> str:
    """A name under which this value may stand where values can't be changed: `name`, or else with a number.

    >>> unused("trees", "300", {"trees": "200", "trees.2": "250"})
    'trees.3'
    """
    return next(n for n in _numbered(name) if used.get(n, value) == value)


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.{number}"
        number += 1


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays, and other mappings and sets, as JSON knows them; text of anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    listed = getattr(value, "tolist", None)
    return listed() if listed is not None else str(value)
