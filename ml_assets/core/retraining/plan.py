"""What a retraining does: as of when, with which parameters, on how much history.

Whether to retrain is decided in `decision`; how a learning window is divided is in `split`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_assets.core.errors import ConfigError
from ml_assets.core.retraining.evidence import Finding
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.retraining.trainings import Plan, Training

ABOUT_THE_MODEL = ("reference_outdated", "overdue", "first")


@dataclass(frozen=True)
class Learning:
    """What a pipeline learns from.

    Args:
        window: partitions of history.
        shortest: fewest partitions after an abrupt change.
        held: partitions kept for validation, holdout and embargoes; may be a fraction.
        min_rows: rows to train on at least.
        min_labelled: share of the as-of partition's rows whose label must be known.
        tunes: whether the pipeline searches for parameters.

    Raises:
        ConfigError: a value is out of bounds; lists all.
    """

    window: int
    shortest: int
    held: float
    min_rows: int
    min_labelled: float = 0.5
    tunes: bool = False

    def __post_init__(self) -> None:
        wrong = [f"window: {self.window}"] if self.window < 1 else []
        wrong += [f"shortest: {self.shortest}"] if not 1 <= self.shortest <= self.window else []
        wrong += [f"held: {self.held}, of a window of {self.window}"] if not 0 <= self.held < self.window else []
        wrong += [f"min_rows: {self.min_rows}"] if self.min_rows < 0 else []
        wrong += [f"min_labelled: {self.min_labelled}"] if not 0 <= self.min_labelled <= 1 else []
        if wrong:
            raise ConfigError(
                "learning of a retraining",
                found=wrong,
                expected="1 <= shortest <= window, less held than the window, rows of at least 0, a share of labels",
                cure="correct model.window, model.validation, evaluation.holdout or retraining.on_abrupt",
            )


def make_plan(
    asks: Sequence[Finding], history: Sequence[Partition], trainings: Sequence[Training], cause: int, rules: Learning
) -> Plan:
    """Choose what to train.

    The champion's parameters are refitted first: it is cheap, and what changed is mostly the data. They are tuned
    only if there is no champion yet, or a training for the same cause was rejected or left undecided: same champion,
    as of one of the last `cause` partitions, for a reason that is about the model.

    After an abrupt change at partition s, only what came with or after s resembles the present, so that is learnt
    from, but never less than `shortest` partitions nor than what leaves `min_rows` to train on. With a quarter of the
    rows the sampling error of what is learnt doubles at most, while rows from before an abrupt change are a bias that
    no number of rows removes. Trip durations of 2020 show both: before March a window of 12 months is slightly
    better than one of 3, from then on one of 3 is far better. The window then grows with every partition, also for
    trainings asked for by other causes, until it is full again.

    Args:
        asks: what asks for the training, at least one.
        history: partitions up to the as-of one, oldest first, those that have not landed included.
        trainings: earlier ones, oldest first.
        cause: how many partitions a cause lasts.
        rules: what the pipeline learns from.
    """
    as_of, champion = history[-1].key, asks[0].champion
    place = {p.key: i for i, p in enumerate(history)}
    recent = {p.key for p in history[-cause:]}
    refused = [t for t in trainings if t.as_of in recent and _refused_for(t, champion)]
    about_the_model = any(f.reason in ABOUT_THE_MODEL for f in asks)
    tune = rules.tunes and about_the_model and (champion is None or bool(refused))
    why = [_how_in_words(tune, champion, refused)]

    since = _change(asks, refused, trainings, champion, place)
    window = rules.window
    if since is not None:
        after = len(history) - place[since]
        window = min(rules.window, max(after, rules.shortest, fewest(history, rules) or rules.window))
        since = since if window < rules.window else None
    if since is not None:
        alike = "1 partition is" if after == 1 else f"{after} partitions are"
        why.append(f"abrupt change at {since}, {alike} like the present: learn from {window}")
    return Plan(as_of, "tune" if tune else "refit", window, since, "; ".join(why))


def _how_in_words(tune: bool, champion: str | None, refused: Sequence[Training]) -> str:
    if champion is None:
        return "tune, there are no parameters of a champion" if tune else "train with the parameters of the YAML"
    return f"the champion's parameters were refused as of {refused[-1].as_of}: tune" if tune else "refit first"


def fewest(history: Sequence[Partition], rules: Learning) -> int | None:
    """Partitions that leave enough rows to train on, the newest `held` of them kept apart; None if all are too few.

    Rows are taken to be spread evenly inside a partition.
    """
    window = min(rules.window, len(history))
    return next((w for w in range(1, window + 1) if w > rules.held and rows(history, w, rules) >= rules.min_rows), None)


def rows(history: Sequence[Partition], window: int, rules: Learning) -> int:
    """Rows with a label to train on in the newest `window` partitions, those kept apart left out."""
    kept, total = rules.held, 0.0
    for partition in reversed(history[-window:]):
        total += partition.labelled * (1 - min(1.0, kept))
        kept = max(0.0, kept - 1)
    return round(total)


def _refused_for(training: Training, champion: str | None) -> bool:
    asks = training.evidence.asks if training.evidence is not None else ()
    same = any(f.champion == champion and f.reason in ABOUT_THE_MODEL for f in asks)
    return same and training.outcome in ("rejected", "undecided")


def _change(
    asks: Sequence[Finding],
    refused: Sequence[Training],
    trainings: Sequence[Training],
    champion: str | None,
    place: Mapping[str, int],
) -> str | None:
    """The partition of the last abrupt change that is known of, as far as history goes.

    Among what is found against one champion that is the oldest: later partitions are as far from its reference.
    What is found against it is newer than what it was itself trained for.
    """
    found = [f.subject for f in asks if f.abrupt]
    found += [t.plan.since for t in refused if t.plan is not None and t.plan.since is not None]
    if not found:
        own = next((t for t in reversed(trainings) if t.bundle is not None and t.bundle == champion), None)
        found = [own.plan.since] if own is not None and own.plan is not None and own.plan.since is not None else []
    return min((key for key in found if key in place), key=place.__getitem__, default=None)
