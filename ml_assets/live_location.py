"""A code location in which every pipeline rolls its candidates out: what `ml-assets demo-live` shows, in the UI.

`workspace-live.yaml` names it. The code location of every day is `definitions`: there, a pipeline has rollouts as soon
as its YAML has the section.
"""

import warnings

import dagster as dg

from ml_assets import components
from ml_assets.config.rollout import Rollout
from ml_assets.definitions import shared_by_all
from ml_assets.problem import Pipeline
from ml_assets.resources.settings import REPOSITORY

WORKSPACE = REPOSITORY / "workspace-live.yaml"
ROLLOUT = Rollout(
    strategy="canary", min_requests=50, min_time="1s", max_age="10m", check_every_seconds=1,
)  # fmt: skip
"""A rollout in fast motion, where the YAML has none: the real one takes hours or days."""


@dg.definitions
def defs() -> dg.Definitions:
    """All tables and pipelines, each with rollouts."""
    return _merged(_tree())


def with_rollouts(name: str) -> tuple[Pipeline, dg.Definitions]:
    """A pipeline of this repository, and the code location, with rollouts."""
    tree = _tree()
    component = next(c for c in tree.get_all_components(components.Pipeline) if c.name == name)
    return component.on_its_table(tree), _merged(tree)


def _tree() -> dg.ComponentTree:
    tree = dg.ComponentTree.for_project(REPOSITORY)
    for component in tree.get_all_components(components.Pipeline):
        if component.config.rollout is None:
            component.config = component.config.model_copy(update={"rollout": ROLLOUT})
    return tree


def _merged(tree: dg.ComponentTree) -> dg.Definitions:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # Dagster's, of what its own components use
        return dg.Definitions.merge(tree.build_defs(), shared_by_all())
