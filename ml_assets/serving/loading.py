"""Bundles by hash, for answering: verified, tried where they can do no harm, then loaded.

Three things are asked of a bundle, in this order. Its SHA-256, and those of its files, before anything parses them: so
what is parsed is what the ledger names, byte for byte (`resources.bundle_files`). A trial load in a process of its
own, where this machine has not seen it yet: the hash proves what it is and not that it works here, and a text that
LightGBM's parser can't take (written by another version, or wrong from the day it was made) ends the process, or never
comes back; so it ends the trial's, within a time limit, and not the server's. Last, the scores of its golden rows, to
the bit: by the batch path in the trial, and by the path that serves, here. A bundle that fails any of this is
refused, and whoever asked goes on with what they have.
"""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ml_assets.core.errors import BundleError
from ml_assets.resources.model_folder import ModelFolder
from ml_assets.serving.picture import ServedModel

TRIAL_SECONDS = 30.0
_RUNTIMES = ("ml-assets", "lightgbm", "numpy", "onnxruntime", "polars")
_LONGEST = 600


@dataclass(frozen=True)
class Loader:
    """Loads bundles.

    Args:
        models: where they are kept.
        tried: a folder of this machine that remembers which ones a trial has loaded; None: each is tried.
        trial_seconds: how long a trial may take.
    """

    models: ModelFolder
    tried: Path | None = None
    trial_seconds: float = TRIAL_SECONDS

    def load(self, pipeline: str, sha256: str) -> ServedModel:
        """A bundle of that hash and pipeline, ready to answer.

        Raises:
            BundleError: it is missing, damaged, another pipeline's, fails in the trial, or scores its golden rows
                differently.
        """
        from ml_assets.core.models.single_row import scorer_of

        self._try(sha256)
        bundle = self.models.read(sha256)
        if bundle.facts["pipeline"] != pipeline:
            raise BundleError(
                f"bundle {sha256[:12]}",
                found=f"a model of the pipeline {bundle.facts['pipeline']}",
                expected=f"one of {pipeline}",
                cure="go back with `ml-assets rollback`, and see with `ml-assets history` who released it",
            )
        model = ServedModel(pipeline, scorer_of(bundle))
        require_smoke(model)
        return model

    def _try(self, sha256: str) -> None:
        if self.tried is None:
            self._trial(sha256)
            return
        from filelock import FileLock

        mark = self.tried / f"{sha256}.{_runtime()}"
        self.tried.mkdir(parents=True, exist_ok=True)
        # Workers that start together ask for the same bundles.
        with FileLock(self.tried / f"{sha256}.lock"):
            if not mark.exists():
                self._trial(sha256)
                mark.touch()

    def _trial(self, sha256: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "ml_assets.serving.trial", self.models.root, sha256],
                capture_output=True, text=True, timeout=self.trial_seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            found = f"still loading after {self.trial_seconds:g} s, and was ended"
        else:
            if done.returncode == 0:
                return
            told = done.stderr.strip()[-_LONGEST:]
            found = told or f"exit code {done.returncode}"
            if done.returncode < 0:
                found = f"it ended by signal {-done.returncode}"
        raise BundleError(
            f"trial load of bundle {sha256[:12]}",
            found=found,
            expected="a bundle that loads and scores its golden rows as when it was made",
            cure="go back (`ml-assets rollback`), then train again with the versions that requirements.lock names",
        )


def require_smoke(model: ServedModel) -> None:
    """Raise a BundleError unless golden rows, sent as a client would send them, score as when the bundle was made."""
    golden = model.bundle.facts["golden"]
    columns = {s.name: [row[i] for row in golden["rows"]] for i, s in enumerate(model.specs)}
    one_by_one = [
        model.predict({name: [values[at]] for name, values in columns.items()}, 1)[0]
        for at in range(len(golden["rows"]))
    ]
    if one_by_one != golden["scores"]:
        raise BundleError(
            f"bundle {model.version[:12]}",
            found=f"scores {one_by_one} for its golden rows, one by one",
            expected=f"{golden['scores']}, as when it was made",
            cure="serve with the versions of lightgbm and onnxruntime that requirements.lock names, or train again",
        )


def _runtime() -> str:
    """What a trial's outcome depends on beside the bundle."""
    return "-".join([f"py{sys.version_info[0]}{sys.version_info[1]}", *(version(name) for name in _RUNTIMES)])
