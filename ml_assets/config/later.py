"""Sections of `defs.yaml` whose stage this version does not build yet: their shape is declared, so that editors
and `dg check yaml` know it, and every use is refused, so that nothing a user writes is ignored.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rollout(_Section):
    """How a promoted bundle takes traffic (level 4)."""

    strategy: Literal["direct", "shadow", "canary", "blue_green", "ab_test"] = Field(description="Kind of rollout.")
    steps: tuple[Literal["shadow"] | int, ...] = Field(default=(), description="Shares of traffic, in percent.")
    guardrails: dict[str, Any] | None = Field(default=None, description="What makes a rollout go back.")


UNBUILT: dict[str, str] = {
    "rollout": "gradual rollouts",
}


def refuse_unbuilt(config: BaseModel) -> None:
    """Raise a ValueError naming every section that is set and not built yet."""
    found = {s: told for s, told in UNBUILT.items() if getattr(config, s) is not None}
    if found:
        listed = "; ".join(f"{s} ({told})" for s, told in found.items())
        raise ValueError(
            f"not built in this version of ml_assets: {listed}; expected a file without these; "
            "remove them until an ml_assets that builds them is installed"
        )
