"""Which model answers a request, and its answer: per pipeline one immutable picture of routing and loaded models.

A picture is put in place by one assignment, so a request sees one of them from its beginning to its end. Nothing here
speaks HTTP, reads the ledger or loads: that is in `http`, `watching` and `loading`. Who else is told of an answer, the
log, the shadows and the metrics, is given as hooks.
"""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ml_assets.core.errors import InputRefused, NoFiniteScore, NotReady, NotServed, RequestRefused
from ml_assets.core.models.row_values import Columns
from ml_assets.core.routing import CHAMPION
from ml_assets.serving.picture import Picture, ServedModel
from ml_assets.serving.scoring import SHOWN, Asked, Keys, Tried, tried

if TYPE_CHECKING:
    from ml_assets.core.models.single_row import Predictions

PINNED = "pinned"
"""The variant of an answer whose version the request named."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a request is answered.

    Args:
        request_id: the client's, or one made for it.
        pipeline: whose model.
        version: SHA-256 of the bundle.
        variant: the arm that answered, or `pinned` where the request named a version.
        predictions: a float per row, or a list of one per class; as `core.tasks` says.
    """

    request_id: str
    pipeline: str
    version: str
    variant: str
    predictions: "Predictions"


class Served(msgspec.Struct, frozen=True, gc=False):
    """A request with what was made of it, for the hooks.

    Attributes:
        request_id, pipeline, variant, version: as in `Answer`.
        unit: what the arm was drawn by.
        model: what scored.
        columns: the features as they were given.
        rows: how many.
        predictions: None where scoring failed.
        at_us: when it began, microseconds since 1970 in UTC.
        latency_us: microseconds it took to score.
        feature_age_s: seconds since the features were computed; None where nobody said.
        error: what went wrong, in words; None where nothing did.
        shadows: models that score the same rows beside, and are not answered.
        keys, events_us: of each row, as `core.prediction_log.Entry` has them; None where the protocol has none.
    """

    request_id: str
    pipeline: str
    variant: str
    version: str
    unit: str
    model: "ServedModel"
    columns: Columns
    rows: int
    predictions: "Predictions | None"
    at_us: int
    latency_us: int
    feature_age_s: float | None
    error: str | None
    shadows: "tuple[ServedModel, ...]"
    keys: "Keys | None"
    events_us: "Sequence[int | None] | None"


Hook = Callable[[Served], None]


class DataPlane:
    """Answers requests for some pipelines, from any thread.

    Args:
        pipelines: their names.
        hooks: told of each scoring, one after the other, by whatever thread asked; they must neither block nor raise.

    Attributes:
        beside: hooks that are told only while a pipeline has other models than its champion to score with.
    """

    def __init__(self, pipelines: Sequence[str], hooks: Sequence[Hook] = ()) -> None:
        self.pipelines = tuple(pipelines)
        self.hooks = tuple(hooks)
        self.beside: tuple[Hook, ...] = ()
        self.guard: Callable[[Picture], Picture] | None = None
        """Has the last word on what is put in place."""
        self.closing = False
        """Whether the server is about to end: it answers, and is not ready."""
        self._pictures: dict[str, Picture | None] = dict.fromkeys(self.pipelines)

    def put(self, pipeline: str, picture: Picture) -> None:
        """Answer with this from now on; requests under way end with what they began with."""
        self._pictures[pipeline] = picture if self.guard is None else self.guard(picture)

    def picture(self, pipeline: str) -> Picture:
        """What a pipeline is answered with now.

        Raises:
            NotServed: it is none of ours.
            NotReady: nothing is loaded yet.
        """
        try:
            picture = self._pictures[pipeline]
        except KeyError:
            raise NotServed(
                f"pipeline {pipeline[:100]!r}",
                found=f"a server of {', '.join(self.pipelines)}",
                expected="one of these",
                cure="correct the name, or start the server with --pipeline of that name",
            ) from None
        if picture is None:
            raise NotReady(
                f"pipeline {pipeline}",
                found="no loaded champion",
                expected="a released model",
                cure=f"release one (`ml-assets release --pipeline {pipeline}`), or see in the server's log why it "
                "could not be loaded",
            )
        return picture

    def is_ready(self, pipeline: str) -> bool:
        """Whether a champion is loaded and answers its golden row, and the server is not about to end."""
        picture = self._pictures.get(pipeline)
        return picture is not None and not self.closing and picture.champion.answers()

    def model(self, pipeline: str, version: str | None = None) -> ServedModel:
        """A loaded model: the champion, or the one whose SHA-256 begins so.

        Raises:
            NotServed: there is no such pipeline, or no or several such versions.
            NotReady: nothing is loaded yet.
        """
        picture = self.picture(pipeline)
        if version is None:
            return picture.champion
        if version in picture.models:
            return picture.models[version]
        found = [m for sha256, m in picture.models.items() if version and sha256.startswith(version.lower())]
        if len(found) != 1:
            raise NotServed(
                f"version {version[:100]!r} of {pipeline}",
                found=f"{len(found)} loaded versions begin so; loaded are "
                f"{', '.join(s[:SHOWN] for s in picture.models)}",
                expected="the beginning of the SHA-256 of one of them",
                cure="ask for no version to be answered by the live model, or for one that is loaded",
            )
        return found[0]

    def infer(self, *asked_for: Any, **how: Any) -> Answer:
        """Score rows by the model that the routing gives them to: arguments of `begin`, errors of that and of `end`."""
        asked = self.begin(*asked_for, **how)
        return self.end(asked, tried(asked.model, asked.columns, asked.rows))

    def begin(
        self,
        pipeline: str,
        columns: Columns,
        rows: int,
        *,
        version: str | None = None,
        unit: str | None = None,
        request_id: str | None = None,
        variant: str | None = None,
        features_at: float | None = None,
        keys: Keys | None = None,
        events_us: Sequence[int | None] | None = None,
    ) -> Asked:
        """Choose the model that is to score rows.

        Args:
            pipeline: whose model.
            columns: feature -> values, `rows` of each.
            rows: how many.
            version: beginning of the SHA-256 of a loaded bundle that is to answer, whatever the routing says.
            unit: what the arm is drawn by, so that it always is the same for it; None: by the request id.
            request_id: the client's; None: one is made.
            variant: the arm that is to answer, for tests.
            features_at: when the features were computed, seconds since 1970 in UTC.
            keys, events_us: of each row, for the log; see `core.prediction_log.Entry`.

        Raises:
            NotServed: no such pipeline, version or variant.
            NotReady: nothing is loaded yet.
            InputRefused: columns are unknown.
        """
        request_id = request_id or new_id()
        picture = self.picture(pipeline)
        if not picture.knows(columns):
            raise _unknown(columns, picture)
        drawn_by = unit or request_id
        if version is not None:
            name, model = PINNED, self.model(pipeline, version)
        elif variant is not None:
            name, model = _arm(pipeline, picture, variant)
        else:
            arm = picture.routing.assign(drawn_by)
            name, model = arm.variant, picture.models[arm.bundle]
        age = None if features_at is None else max(0.0, time.time() - features_at)
        return Asked(request_id, pipeline, name, drawn_by, model, picture, columns, rows, age, keys, events_us)

    def end(self, asked: Asked, scored: Tried) -> Answer:
        """Answer a request that was scored, and tell the hooks.

        An arm that fails where the champion does not is answered for by the champion: what a candidate breaks, no
        client sees; the hooks are told of both.

        Raises:
            InputRefused: columns are missing, or hold what they must not; lists all.
            Exception: what scoring by the champion, or by the version that was asked for, failed with.
        """
        name, model, picture = asked.variant, asked.model, asked.picture
        if scored.error is not None and name not in (CHAMPION, PINNED):
            instead = tried(picture.champion, asked.columns, asked.rows)
            # What the champion can't read either is the client's mistake, and no candidate's.
            if not isinstance(instead.error, RequestRefused):
                self._tell(asked, name, model, scored)
            name, model, scored = CHAMPION, picture.champion, instead
        if scored.error is not None:
            if not isinstance(scored.error, InputRefused) or isinstance(scored.error, NoFiniteScore):
                self._tell(asked, name, model, scored)
            raise scored.error
        self._tell(asked, name, model, scored)
        return Answer(asked.request_id, asked.pipeline, model.version, name, cast("Predictions", scored.predictions))

    def _tell(self, asked: Asked, variant: str, model: ServedModel, scored: Tried) -> None:
        error = None if scored.error is None else f"{type(scored.error).__name__}: {scored.error}"
        served = Served(
            asked.request_id, asked.pipeline, variant, model.version, asked.unit, model, asked.columns, asked.rows,
            scored.predictions, scored.at_us, scored.took_us, asked.feature_age_s, error, asked.picture.shadows,
            asked.keys, asked.events_us,
        )  # fmt: skip
        for hook in self.hooks if asked.picture.is_alone else (*self.hooks, *self.beside):
            hook(served)


_numbers, _process = itertools.count(), [os.urandom(6).hex()]
os.register_at_fork(after_in_child=lambda: _process.__setitem__(0, os.urandom(6).hex()))


def new_id() -> str:
    """A request id, 32 hexadecimal digits, that no other process makes; later ones sort after earlier ones."""
    return f"{time.time_ns() // 1_000_000:012x}{next(_numbers) & 0xFFFFFFFF:08x}{_process[0]}"


def _arm(pipeline: str, picture: Picture, variant: str) -> tuple[str, ServedModel]:
    arms = {a.variant: a.bundle for a in picture.routing.arms}
    if variant not in arms:
        raise NotServed(
            f"variant {variant[:100]!r} of {pipeline}",
            found=f"the variants {', '.join(arms)}",
            expected="one of these",
            cure="leave the variant to the routing, or name one of these",
        )
    return variant, picture.models[arms[variant]]


def _unknown(columns: Columns, picture: Picture) -> RequestRefused:
    unknown = [f"column {name[:100]!r} is not a feature of the model" for name in columns if name not in picture.known]
    return InputRefused(
        "columns to score",
        found=[*unknown[:20], *([f"and {len(unknown) - 20} more"] if len(unknown) > 20 else [])],
        expected=f"the features {', '.join(s.name for s in picture.champion.specs)}",
        cure="leave out what is no feature, or correct its name",
    )
