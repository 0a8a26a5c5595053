"""Checks that tell of one partition each. What is checked is beside the assets, and of tables in `ml_assets.checks`."""

import warnings
from collections.abc import Sequence

import dagster as dg


def partitioned_check(
    name: str,
    asset: dg.AssetKey,
    partitions: dg.PartitionsDefinition[str],
    description: str,
    *,
    reads_too: Sequence[dg.AssetKey] = (),
) -> dg.AssetCheckSpec:
    """A check of each partition of an asset.

    Args:
        name: of the check.
        asset: that it is of.
        partitions: the asset's.
        description: what it means to pass.
        reads_too: assets that it reads by itself, not as inputs.
    """
    with warnings.catch_warnings():
        # Partitioned checks are marked preview in Dagster 1.13; an unpartitioned one would tell of one month only.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, partitions_def=partitions, additional_deps=list(reads_too)
        )
