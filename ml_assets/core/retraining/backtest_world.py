"""The world of a backtest on recorded history: models that are really trained, scored, judged and decided on.

How each of that is done is in `backtest_models`, `backtest_scores` and `backtest_gate`; the replay in `backtest`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ml_assets.core.bundle import Bundle
from ml_assets.core.errors import EvidenceError, TrainingError
from ml_assets.core.retraining.backtest import Ruling, World
from ml_assets.core.retraining.backtest_gate import Gate
from ml_assets.core.retraining.backtest_models import Trainer
from ml_assets.core.retraining.backtest_scores import Scores
from ml_assets.core.retraining.recorded_history import Recorded
from ml_assets.core.retraining.trainings import Plan


@dataclass(frozen=True)
class FirstModel:
    """The model with which every policy begins.

    Args:
        plan: of its training.
        trainer: what trained it, and trains all that follow.
        bundle: its SHA-256.
        words: why it was released.
    """

    plan: Plan
    trainer: Trainer
    bundle: str
    words: str


def first_model(recorded: Recorded, trainer: Callable[[str], Trainer], gate: Gate, window: int) -> FirstModel:
    """Train as of the partition with which a learning window is full, or the next one whose candidate is released.

    Args:
        recorded: history.
        trainer: as-of partition of the first model -> what trains.
        gate: decides on it.
        window: partitions to learn from.

    Raises:
        EvidenceError: history is too short for a learning window and a partition to replay after it, or the gate
            lets no candidate pass.
        TrainingError: nothing can be learnt from these partitions.
    """
    ends = recorded.windows[window - 1 : -1]
    if not ends:
        raise EvidenceError(
            "backtest of retraining policies",
            found=f"{len(recorded.windows)} partitions of features are stored",
            expected=f"{window} to learn from (model.window), and at least one after them to replay",
            cure="materialize the features of more partitions, or make model.window shorter",
        )
    refused = []
    for end in ends:
        plan, own = Plan(end.key, "refit", window, why="first model"), trainer(end.key)
        bundle = own.train(end.key, plan)
        ruling = gate.decide(None, bundle.sha256)
        own.tell(f"first model as of {end.key}: {ruling.outcome}: {ruling.words}")
        if ruling.outcome == "promoted":
            return FirstModel(plan, own, bundle.sha256, ruling.words)
        refused.append(f"as of {end.key}: {ruling.words}")
    raise EvidenceError(
        "backtest of retraining policies",
        found=refused,
        expected="a first model that may be released",
        cure="improve the features or the model until one is promoted, or loosen the section evaluation",
    )


def recorded_world(
    recorded: Recorded, first: FirstModel, bundle: Callable[[str], Bundle], gate: Gate, scores: Scores
) -> World[str]:
    """What a replay asks of recorded history; models are SHA-256s of bundles, a training costs the rows it learnt from.

    Args:
        recorded: history.
        first: the model with which every policy begins; later ones are trained likewise.
        bundle: SHA-256 -> the bundle.
        gate: decides on candidates.
        scores: answers to recorded partitions.
    """

    def decide(live: str, candidate: str, as_of: str) -> Ruling:
        ruling = gate.decide(live, candidate)
        first.trainer.tell(f"candidate {candidate[:12]} as of {as_of}: {ruling.outcome}: {ruling.words}")
        return ruling

    def train(as_of: str, plan: Plan) -> str:
        try:
            return first.trainer.train(as_of, replace(plan, how="refit")).sha256
        except TrainingError as e:
            first.trainer.tell(f"as of {as_of}: failed: {e}")
            raise

    return World(
        train=train,
        score=scores.loss,
        judge=scores.judge,
        measure=scores.measure,
        decide=decide,
        cost=lambda model: float(bundle(model).rows_trained),
        labelled=recorded.labelled,
    ).remembering()
