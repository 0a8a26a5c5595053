"""Sections of `defs.yaml` whose stage this version does not build yet: their shape is declared, so that editors
and `dg check yaml` know it, and every use is refused, so that nothing a user writes is ignored.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.config.monitoring import Monitoring


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OnDrift(_Section):
    """How much drift is evidence."""

    k: int = Field(ge=1, description="Drifted reports among the last n.")
    n: int = Field(ge=1, description="Reports looked at.")


class OnStale(_Section):
    """How long the monitor may be silent."""

    after: str = Field(description="Duration such as 7d.")


class Budget(_Section):
    """How many retrainings are allowed."""

    runs: int = Field(ge=0, description="Retrainings.")
    per: int = Field(ge=1, description="Partitions within which they count.")


class Retraining(_Section):
    """When to retrain (level 2)."""

    on_drift: OnDrift | None = Field(default=None, description="Evidence from drift reports.")
    on_stale: OnStale | None = Field(default=None, description="Evidence from a silent monitor.")
    cooldown: int | None = Field(default=None, ge=0, description="Partitions between two retrainings.")
    budget: Budget | None = Field(default=None, description="Most retrainings in a time.")
    schedule: str | None = Field(default=None, description="Cron expression for retraining by the clock.")


class Rollout(_Section):
    """How a promoted bundle takes traffic (level 4)."""

    strategy: Literal["direct", "shadow", "canary", "blue_green", "ab_test"] = Field(description="Kind of rollout.")
    steps: tuple[Literal["shadow"] | int, ...] = Field(default=(), description="Shares of traffic, in percent.")
    guardrails: dict[str, Any] | None = Field(default=None, description="What makes a rollout go back.")


UNBUILT: dict[str, str] = {
    "retraining": "automatic retraining",
    "rollout": "gradual rollouts",
}


def refuse_unbuilt(config: BaseModel, monitoring: Monitoring) -> None:
    """Raise a ValueError naming every section, and every key of `monitoring`, that is set and not built yet."""
    found = {s: told for s, told in UNBUILT.items() if getattr(config, s) is not None}
    if "grace" in monitoring.model_fields_set:
        found["monitoring.grace"] = "the sensor that waits for it"
    if found:
        listed = "; ".join(f"{s} ({told})" for s, told in found.items())
        raise ValueError(
            f"not built in this version of ml_assets: {listed}; expected a file without these; "
            "remove them until an ml_assets that builds them is installed"
        )
