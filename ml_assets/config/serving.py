"""The section `serving` of a pipeline: how a request is recognised, and its log read."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ml_assets.config.durations import Length, length


class Serving(BaseModel):
    """How requests to the pipeline's model are told apart, and joined with what became of them (level 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: str | None = Field(
        default=None,
        description="Column of the table by which a request sticks to an arm of a rollout, such as a customer's id; "
        "absent: each request is drawn by its own id, unless the client names a unit.",
    )
    key: tuple[str, ...] = Field(
        default=(),
        description="Columns of the table, known when a prediction is asked for, that together tell one row from "
        "another: by them a served request finds its row, and so its label. Without them, labels are "
        "delivered by request id.",
    )
    labels_within: Length = Field(
        default="45d",
        description="How long after a partition's end labels that are delivered by request id are still joined, once a "
        "day.",
    )
    checked: int = Field(
        default=1000,
        ge=1,
        description="Served requests of a partition and bundle that the check served_as_batch predicts once more.",
    )

    @field_validator("key")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"serving.key: {', '.join(twice)} is named more than once; expected each column once")
        return value

    @property
    def label_wait(self) -> timedelta:
        """`labels_within` as a length of time."""
        return length(self.labels_within, "serving.labels_within")
