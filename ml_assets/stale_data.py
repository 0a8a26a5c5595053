"""What of the data side a partition lacks, or was made from what has changed since; by content, not by time.

Dagster's automation follows what is new while its daemon runs; a replay has to find what an earlier one left.
"""

from dataclasses import dataclass

from ml_assets.core.releases import champion_for
from ml_assets.core.windows import Window
from ml_assets.observing import FEATURES_VERSION, by_former_bounds
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.materializations import Made
from ml_assets.resources.sources.interface import Source

UNSCORED = ("raw", "validated", "quarantine", "features")
SCORED = (*UNSCORED, "predictions", "performance", "drift")
INPUTS = {
    "validated": ("raw",),
    "quarantine": ("raw",),
    "features": ("validated",),
    "predictions": ("features",),
    "performance": ("features", "predictions"),
    "drift": ("features", "predictions"),
}


@dataclass(frozen=True)
class DataSide:
    """The data side of one pipeline.

    Args:
        pipeline: which.
        source: where its rows come from.
        ledger: who scores.
    """

    pipeline: Pipeline
    source: Source
    ledger: Ledger

    def stale(self, window: Window, made: dict[str, dict[str, Made]]) -> list[str]:
        """Nouns to be made, in their order; scores of a champion that is no more are taken out of `made`.

        Args:
            window: of the partition.
            made: noun -> partition -> its last materialization.
        """
        champion = champion_for(self.ledger.events(self.pipeline.name), window.start)
        wanted = SCORED if champion else UNSCORED
        raw, predictions = made["raw"].get(window.key), made["predictions"].get(window.key)
        if raw is None or raw.metadata.get("source_fingerprint") != self.source.fingerprint(window):
            return list(wanted)
        if champion and predictions and predictions.metadata.get("bundle") != champion.bundle:
            del made["predictions"][window.key]
        stale = [noun for noun in wanted if noun in INPUTS and not self._fits(made, noun, window.key)]
        if not stale:
            return []
        # One step makes both; a kill may have left the first of them only.
        first = "validated" if stale[0] == "quarantine" else stale[0]
        return list(wanted[wanted.index(first) :])

    def _fits(self, made: dict[str, dict[str, Made]], noun: str, partition: str) -> bool:
        """Whether a partition was made from what its inputs hold now."""
        one = made[noun].get(partition)
        if one is None:
            return False
        version = self.pipeline.features_version
        if noun == "features" and one.metadata.get(FEATURES_VERSION, version) != version:
            return False
        if noun in ("performance", "drift") and by_former_bounds(self.pipeline, noun, one):
            return False
        for upstream in INPUTS[noun]:
            before = self.pipeline.partitions_before if noun == "features" else 0
            read = [*(w.key for w in self.pipeline.table.windows_before(partition, before)), partition]
            now = {key: made[upstream][key].data_version for key in read if key in made[upstream]}
            if one.made_from.get(self.pipeline.key(upstream).to_user_string()) != now:
                return False
        return True
