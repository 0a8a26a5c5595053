"""The tables and pipelines of this repository, as the folders below `ml_assets/defs` describe them.

For commands that need the objects behind the definitions; the definitions themselves are in `definitions`.
"""

import dagster as dg

from ml_assets import components
from ml_assets.core.errors import ConfigError
from ml_assets.problem import Pipeline
from ml_assets.resources.settings import REPOSITORY


def pipeline_named(name: str) -> Pipeline:
    """The pipeline of that name.

    Raises:
        ConfigError: there is none, or its files can't be built.
    """
    tree = dg.ComponentTree.for_project(REPOSITORY)
    found = {c.name: c for c in tree.get_all_components(components.Pipeline)}
    if name not in found:
        raise ConfigError(
            f"pipeline {name}", found=f"the pipelines {sorted(found)}", expected="one of them",
            cure="correct the name, or add a folder below ml_assets/defs with a defs.yaml",
        )  # fmt: skip
    pipeline = found[name].on_its_table(tree)
    pipeline.check()
    return pipeline
