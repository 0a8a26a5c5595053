"""Every error this project raises on purpose. Each names the thing, what was found, what was expected
and the cure, and collects all mismatches before it is raised.

    MLAssetsError
    ├── ConfigError              a defs.yaml, schema.py or features.py says something we can't do
    ├── SourceError              a source could not give a partition
    │   ├── SourceNotFound       wrong path or URL, missing partition, unreachable database
    │   ├── SourceUnreadable     truncated or foreign content (HTML in place of CSV, …)
    │   ├── SourceSchemaError    a column is missing or has another type
    │   └── SourceEmpty          zero rows
    ├── PartitionMissing         a stored partition that is asked for is not there
    ├── StorageError             a file can't be written: no space, quota used up, read-only, not allowed
    ├── ContractError            a frame does not fit its table's contract as a whole
    ├── TrainingError            nothing can be learnt from this training set
    ├── BundleError              a model bundle is missing, damaged or of another format
    │   └── ScoringError         a frame that this bundle can't score
    ├── EvidenceError            what is known of the monitor contradicts itself, or can't be read back
    ├── ProfileError             a reference profile is damaged, or a frame or profile does not fit it
    ├── PredictionLogError       the prediction log is damaged, or does not have what is asked for
    ├── VersioningError          DVC can't keep a training partition, or bring it back
    ├── ServerUnreachable        nobody answers where the model server should be
    ├── RequestRefused           a request to the model server that can't be answered; each has its HTTP status
    │   ├── NotServed            no such pipeline, or no such version of its model (404)
    │   ├── NotReady             its pipeline has no loaded champion (503)
    │   ├── Busy                 too much is in memory already (503)
    │   ├── InputRefused         columns that the model can't score, or a body that can't be read (400)
    │   │   └── NoFiniteScore    numbers for which the model says infinity, or nothing
    │   ├── FieldsRefused        fields that do not keep the contract; lists every fault (422)
    │   ├── TooLarge             more bytes or rows than one request may have (413)
    │   └── TooSlow              a body that does not arrive (408)
    ├── RoutingError             arms that can't share the traffic
    └── LedgerError              the ledger refuses an event, or its chain is broken
        ├── LedgerConflict       another writer was first
        └── ReleaseRefused       a bundle without the right to be released
"""

from collections.abc import Mapping, Sequence


class MLAssetsError(Exception):
    """An error that says what to do.

    Args:
        thing: what is wrong: an asset, a file and key, a column.
        found: what was found; a sequence where several things mismatch at once.
        expected: what would have been right.
        cure: what the reader can do about it, as an imperative sentence.
    """

    def __init__(self, thing: str, *, found: str | Sequence[str], expected: str, cure: str) -> None:
        self.thing = thing
        self.found = [found] if isinstance(found, str) else list(found)
        self.expected = expected
        self.cure = cure
        listed = self.found[0] if len(self.found) == 1 else "".join(f"\n  - {f}" for f in self.found)
        super().__init__(f"{thing}: {listed}\n  expected: {expected}\n  cure: {cure}")


class ConfigError(MLAssetsError):
    """A file that the user edits says something that can't be built."""


class SourceError(MLAssetsError):
    """A source could not give a partition; what was stored before stays."""


class SourceNotFound(SourceError):
    """Nothing is there: wrong path or URL, missing partition, unreachable database."""


class SourceUnreadable(SourceError):
    """Something is there, but not of the format it should have."""


class SourceSchemaError(SourceError):
    """A column is missing or has a type that can't be converted without loss."""


class SourceEmpty(SourceError):
    """The partition is there and has no rows."""


class PartitionMissing(MLAssetsError, FileNotFoundError):
    """A stored partition that is asked for is not there; a missing file, too, for who may do without it."""

    @classmethod
    def at(cls, partition: str, place: object) -> "PartitionMissing":
        """The error of a partition (`2019-03 of trips/raw`) whose file is not in its place."""
        return cls(
            f"partition {partition}",
            found=f"no file {place}",
            expected="a stored partition",
            cure="materialize that partition first (in the UI: Materialize, and choose it)",
        )


class StorageError(MLAssetsError, OSError):
    """A file can't be written where it belongs; what was there before is as it was."""


class ContractError(MLAssetsError):
    """A frame does not fit its table's contract as a whole."""


class TrainingError(MLAssetsError):
    """Nothing can be learnt from this training set."""


class BundleError(MLAssetsError):
    """A model bundle is missing, damaged or of another format."""


class ScoringError(BundleError):
    """A frame that this bundle can't score."""


class EvidenceError(MLAssetsError):
    """What is known of the monitor contradicts itself, or was not written by us."""


class ProfileError(MLAssetsError):
    """A reference profile is damaged, or a frame or another profile does not fit it."""


class PredictionLogError(MLAssetsError):
    """The prediction log is damaged, or does not have what is asked for."""


class VersioningError(MLAssetsError):
    """DVC can't keep a training partition, or bring back the bytes that were asked for."""


class ServerUnreachable(MLAssetsError):
    """Nobody answers where the model server should be."""


class RequestRefused(MLAssetsError):
    """A request that can't be answered, told to the client; `status` is HTTP's."""

    status = 400


class NotServed(RequestRefused):
    """There is no such pipeline here, or no such version of its model."""

    status = 404


class NotReady(RequestRefused):
    """The pipeline has no loaded champion."""

    status = 503


class Busy(RequestRefused):
    """What other requests hold in memory leaves no room for this one."""

    status = 503


class InputRefused(RequestRefused):
    """Columns that the model can't score, or a body that can't be read."""


class NoFiniteScore(InputRefused):
    """The model says infinity or NaN of these numbers."""


class FieldsRefused(RequestRefused):
    """Records whose fields do not keep their table's contract.

    Args:
        faults: what is wrong: of which `record` (from 0), `rule`, `field`, `found`, `expected`.
        count: how many there are; more than are told, where there are very many.
    """

    status = 422

    def __init__(
        self, thing: str, *, faults: Sequence[Mapping[str, object]], count: int, expected: str, cure: str
    ) -> None:
        self.faults, self.count = list(faults), count
        listed = [f"record {f['record']}: {f['rule']}: {f['field']} is {f['found']}" for f in self.faults[:5]]
        more = [f"and {count - len(listed)} more"] if count > len(listed) else []
        super().__init__(thing, found=[*listed, *more], expected=expected, cure=cure)


class TooLarge(RequestRefused):
    """More than one request may hold."""

    status = 413


class TooSlow(RequestRefused):
    """The request did not arrive in the time it is given."""

    status = 408


class RoutingError(MLAssetsError):
    """Arms that can't share the traffic."""


class LedgerError(MLAssetsError):
    """The ledger refuses an event, or its chain is broken."""


class LedgerConflict(LedgerError):
    """Another writer was first."""


class ReleaseRefused(LedgerError):
    """A bundle without the right to be released."""
