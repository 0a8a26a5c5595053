"""A model for each segment of the rows that has enough of them, and one for all that answers for the others.

A segment is a combination of values of category features. What the models are, is in their own modules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.features import LABEL
from ml_assets.core.models.fit import Fit, OnIteration
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.labels import mean_loss
from ml_assets.core.models.part import Part
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.target_encoding import Declared

MIN_VALIDATION_ROWS = 20
"""Validation rows below which a segment is answered by the model for all: its training could not be stopped."""
_AT = "@segment"
Values = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SegmentedModel(FittedModel):
    """Models by segment.

    Args:
        per: the category features whose values make a segment.
        fallback: for rows of other segments, and where one of the values is missing.
        segments: values of `per` -> the segment's own model.
        rows: values -> training rows of each segment there is.
        fell_back: values -> why the segment has no model of its own.
        rows_without: training rows where one of the values is missing.
    """

    kind: ClassVar[str] = "segmented"
    per: tuple[str, ...]
    fallback: Part
    segments: Mapping[Values, Part]
    rows: Mapping[Values, int]
    fell_back: Mapping[Values, str]
    rows_without: int

    def scores(self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int) -> Floats:
        """Predictions, each by the model of the row's segment, in the order of the rows."""
        at = route(frame, self.per, list(self.segments))
        parts = [*self.segments.values(), self.fallback]
        scored: Floats | None = None
        for number, part in enumerate(parts):
            chosen = np.flatnonzero(at == number)
            if not chosen.size:
                continue
            found = part.scores(frame[chosen], specs, threads=threads)
            if scored is None:
                scored = np.empty((frame.height, *found.shape[1:]))
            scored[chosen] = found
        return np.empty(0) if scored is None else scored

    def facts(self) -> dict[str, Any]:
        """Which segments there are, which have a model, and what the models are."""
        return {
            "kind": self.kind,
            "per": list(self.per),
            "fallback": self.fallback.facts(),
            "segments": [
                {"values": list(values), "rows": self.rows[values], **part.facts()}
                for values, part in self.segments.items()
            ],
            "fell_back": [
                {"values": list(values), "rows": self.rows[values], "reason": reason}
                for values, reason in self.fell_back.items()
            ],
            "rows_without": self.rows_without,
        }

    def files(self) -> dict[str, bytes]:
        """The models' files, prefixed `fallback.` and `segment<n>.`, with n from 0 in the order of the facts."""
        files = self.fallback.files("fallback")
        for number, part in enumerate(self.segments.values()):
            files |= part.files(f"segment{number}")
        return files

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Read what `facts` and `files` gave."""
        segments = {tuple(s["values"]): Part.read(s, files, f"segment{n}") for n, s in enumerate(facts["segments"])}
        return cls(
            tuple(facts["per"]),
            Part.read(facts["fallback"], files, "fallback"),
            segments,
            {tuple(s["values"]): s["rows"] for s in [*facts["segments"], *facts["fell_back"]]},
            {tuple(s["values"]): s["reason"] for s in facts["fell_back"]},
            facts["rows_without"],
        )


def route(frame: pl.DataFrame, per: Sequence[str], segments: Sequence[Values]) -> npt.NDArray[np.int64]:
    """The position in `segments` of each row's values of `per`, int64 `[rows]`; their number where there is none."""
    known = pl.DataFrame(list(segments), schema=dict.fromkeys(per, pl.String), orient="row").with_row_index(_AT)
    found = frame.select(per).join(known, on=list(per), how="left", maintain_order="left")
    return found[_AT].cast(pl.Int64).fill_null(len(segments)).to_numpy()


def fit_segmented(
    spec: ModelSpec,
    train: pl.DataFrame,
    validation: pl.DataFrame | None,
    *,
    features: Sequence[Declared],
    seed: int,
    threads: int,
    weights: Floats | None = None,
    on_iteration: OnIteration | None = None,
    specs: tuple[FeatureSpec, ...] | None = None,
) -> Fit:
    """A model for all rows and one per segment of `spec.per`, as `kinds.fit_model` says.

    A segment has a model of its own if it has `spec.min_rows` training rows and, where there are validation rows,
    20 of those, and if something can be learnt from them. The curves are one value each, of all rows together; a
    row counts for the importances of the model that answers for it.

    Raises:
        ConfigError: `spec.per` are no category features.
        TrainingError: nothing can be learnt from all rows together.
    """
    from ml_assets.core.models.kinds import fit_model

    _require_categories(spec, features)
    one = replace(spec, per=())

    def fitted(rows: pl.DataFrame, judges: pl.DataFrame | None, counts: Floats | None) -> Fit:
        return fit_model(
            one, rows, judges, features=features, seed=seed, threads=threads, weights=counts,
            on_iteration=on_iteration, specs=specs,
        )  # fmt: skip

    whole = fitted(train, validation, weights)
    values = sorted(train.select(spec.per).drop_nulls().unique().rows())
    at = route(train, spec.per, values)
    judged_at = None if validation is None else route(validation, spec.per, values)
    fits: dict[Values, Fit] = {}
    rows, fell_back = {}, {}
    for number, segment in enumerate(values):
        chosen = np.flatnonzero(at == number)
        rows[segment] = chosen.size
        judges = None if validation is None or judged_at is None else validation[np.flatnonzero(judged_at == number)]
        if chosen.size < spec.min_rows:
            fell_back[segment] = f"{chosen.size} training rows, fewer than {spec.min_rows}"
        elif judges is not None and judges.height < MIN_VALIDATION_ROWS:
            fell_back[segment] = f"{judges.height} validation rows, fewer than {MIN_VALIDATION_ROWS}"
        else:
            try:
                fits[segment] = fitted(train[chosen], judges, None if weights is None else weights[chosen])
            except TrainingError as e:
                fell_back[segment] = "; ".join(e.found)
    model = SegmentedModel(
        spec.per,
        Part.of(whole),
        {segment: Part.of(fit) for segment, fit in fits.items()},
        rows,
        fell_back,
        int((at == len(values)).sum()),
    )

    def curve(frame: pl.DataFrame | None, counts: Floats | None = None) -> tuple[float, ...]:
        if frame is None:
            return ()
        scores = model.scores(frame.select(s.name for s in whole.specs), whole.specs, threads=threads)
        return (mean_loss(whole.loss, frame[LABEL].to_numpy(), scores, weights=counts, alpha=_alpha(spec)),)

    shares = [(fit, rows[segment] / train.height) for segment, fit in fits.items()]
    shares.append((whole, (train.height - sum(rows[segment] for segment in fits)) / train.height))
    importances = {n: sum(fit.importances[n] * share for fit, share in shares) for n in whole.importances}
    return Fit(model, whole.specs, importances, whole.loss, curve(train, weights), curve(validation), 1)


def _alpha(spec: ModelSpec) -> float | None:
    return getattr(spec.params, "alpha_or_default", None)


def _require_categories(spec: ModelSpec, features: Sequence[Declared]) -> None:
    categories = [f.name for f in features if f.kind == "category"]
    if wrong := [f"{name} is no category feature" for name in spec.per if name not in categories]:
        raise ConfigError(
            f"model {spec.name}, per",
            found=wrong,
            expected=f"some of {', '.join(categories) or 'the category features, of which there are none'}",
            cure="correct `per` in defs.yaml, or declare the feature with kind='category' in features.py",
        )
