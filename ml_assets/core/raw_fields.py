"""What is known of a pipeline whose requests bring raw fields: its table's contract, its features, where its rows are.

Plain data; it is read from `defs.yaml`, without Dagster, by `ml_assets.served`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from ml_assets.core.cadences import Cadence, partitions_before
from ml_assets.core.contract import Contract
from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature, reach_of
from ml_assets.core.online_features import OnlineFeatures


@dataclass(frozen=True, eq=False)
class RawFields:
    """A pipeline as its requests need it.

    Args:
        pipeline: its name.
        table: the table's name.
        cadence: of the table's partitions.
        event_time: the column that says when an event happens.
        known_late: columns that are not known then -> the time column that says when they are.
        contract: what the table's rows keep.
        features: the columns of its features table.
        answer: what a prediction is, in words.
        unit: the field by which requests stick to an arm; None: there is none.
        key: fields of the natural key.
    """

    pipeline: str
    table: str
    cadence: Cadence
    event_time: str
    known_late: Mapping[str, str]
    contract: Contract
    features: Sequence[Feature | HistoryFeature]
    answer: str = ""
    unit: str | None = None
    key: tuple[str, ...] = ()

    @cached_property
    def online(self) -> OnlineFeatures:
        """How a request becomes features."""
        return OnlineFeatures.of(
            self.contract, self.features, event_time=self.event_time, known_late=set(self.known_late),
            also=(*self.key, *([] if self.unit is None else [self.unit])),
        )  # fmt: skip

    def unit_of(self, records: Sequence[Mapping[str, Any]]) -> str | None:
        """The unit that all records of a request are of; None where they differ, or nobody says."""
        if self.unit is None:
            return None
        units = {record.get(self.unit) for record in records}
        [unit] = units if len(units) == 1 else [None]
        return None if unit is None else str(unit)

    @property
    def reach(self) -> timedelta:
        """How far before an event its features look."""
        return reach_of(self.features)

    @property
    def partitions_before(self) -> int:
        """How many partitions before its own an event's features may look into."""
        return partitions_before(self.cadence, self.reach)
