"""Entries as Weights & Biases runs, online or offline; the only code that knows wandb.

A step is a W&B run with the step as its job type, grouped by orchestrator run and as-of partition: that is W&B's way
for runs of several processes. It is written offline, aside, and moved whole to `<folder>/wandb/offline-run-*`, so that
a delivery repeated after a kill adds nothing twice. Online, `wandb sync` brings it to the server, within a time: W&B's
own client would wait for a server for hours.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ml_assets.core.errors import ConfigError
from ml_assets.core.tracked import names_for
from ml_assets.resources.sources.masking import mask_url
from ml_assets.resources.tracking_bundle import local_bundle
from ml_assets.resources.tracking_delivery import Say, TrackerDown
from ml_assets.resources.tracking_queue import Queued

ID_LENGTH = 16
API = "https://api.wandb.ai"
SYNC_SECONDS = 120
_STAGED = ("data", "cache", "config", "artifact")


@dataclass(frozen=True)
class WandbTracker:
    """W&B, as `WANDB_MODE` says; without it online where `WANDB_API_KEY` is set, and else offline."""

    folder: Path
    timeout_seconds: int
    name: ClassVar[str] = "wandb"

    @staticmethod
    def require_package() -> None:
        """Raise a ConfigError unless wandb is installed."""
        if find_spec("wandb") is None:
            raise ConfigError(
                "trackers: wandb", found="the package wandb is not installed", expected="it, to write W&B's runs",
                cure="install ml-assets[wandb]",
            )  # fmt: skip

    @property
    def mode(self) -> str:
        """`online` or `offline`; any other is taken for offline."""
        return os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")

    @property
    def place(self) -> str:
        """The folder offline, or the server."""
        return mask_url(os.environ.get("WANDB_BASE_URL", API)) if self.mode == "online" else str(self.folder)

    def deliver(self, queued: Queued, say: Say) -> None:  # noqa: ARG002
        """See `tracking_delivery.Tracker`."""
        if not queued.run.dagster_run_id:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=self.folder) as scratch:
                self._deliver(queued, Path(scratch))
        except OSError as error:
            raise self._down(error) from error

    def _deliver(self, queued: Queued, scratch: Path) -> None:
        import wandb

        run_id = id_of(queued)
        target = self.folder / "wandb" / f"offline-run-{datetime.fromtimestamp(queued.at, UTC):%Y%m%d_%H%M%S}-{run_id}"
        if not target.exists():
            try:
                with self._folders(), self._run(wandb, queued, run_id, scratch) as run:
                    _log(wandb, run, queued, scratch)
            except (wandb.Error, TimeoutError) as error:
                raise self._down(error) from error
            target.parent.mkdir(exist_ok=True)
            [written] = (scratch / "wandb").glob("offline-run-*")
            written.rename(target)
        if self.mode == "online":
            self._sync(target)

    def _sync(self, run: Path) -> None:
        url = os.environ.get("WANDB_BASE_URL", API)
        try:
            # Whatever it answers: that it does answer is what is asked.
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(url, timeout=self.timeout_seconds).close()  # noqa: S310
            with self._folders():
                done = subprocess.run(  # noqa: S603
                    [sys.executable, "-m", "wandb", "sync", "--yes", str(run)],
                    capture_output=True,
                    text=True,
                    timeout=SYNC_SECONDS,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise self._down(error) from error
        if done.returncode:
            raise self._down(RuntimeError(f"wandb sync: {done.stderr[-300:] or done.stdout[-300:]}"))

    @contextmanager
    def _run(self, wandb: Any, queued: Queued, run_id: str, scratch: Path) -> Iterator[Any]:
        is_alone = wandb.run is None
        settings = wandb.Settings(
            console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True
        )  # fmt: skip
        run = wandb.init(
            project=queued.run.pipeline,
            id=run_id,
            name=f"{queued.run.name} {queued.step}",
            group=f"{queued.run.name} {queued.run.dagster_run_id[:8]}",
            job_type=queued.step,
            dir=str(scratch),
            mode="offline",
            reinit="create_new",
            settings=settings,
        )
        try:
            yield run
        finally:
            run.finish()
            if is_alone:
                wandb.teardown()

    @contextmanager
    def _folders(self) -> Iterator[None]:
        """What W&B stages for a later upload belongs to the runs, not into a home folder; unless the user says so."""
        folders = {f"WANDB_{kind.upper()}_DIR": str(self.folder / kind) for kind in _STAGED}
        added = {name: place for name, place in folders.items() if name not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)

    def _down(self, error: Exception) -> TrackerDown:
        return TrackerDown(
            f"W&B at {self.place}", found=" ".join(str(error).split())[:600] or repr(error), expected="an answer",
            cure="see that it can be reached and WANDB_API_KEY is right, or set WANDB_MODE=offline",
        )  # fmt: skip


def id_of(queued: Queued) -> str:
    """The id of an entry's run: the same entry has the same, a step that is repeated in its run another."""
    told = [queued.run.dagster_run_id, queued.run.as_of, queued.step, queued.at]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:ID_LENGTH]


def _log(wandb: Any, run: Any, queued: Queued, scratch: Path) -> None:
    entry = queued.entry
    record = entry.to_json()
    facts = {
        **queued.run.tags(),
        **entry.tags,
        "data_versions": record["data_versions"],
        "datasets": record["datasets"],
    }
    run.config.update({**record["params"], "run": facts}, allow_val_change=True)
    names = names_for(queued.step, [*entry.metrics, *entry.curves, *entry.pictures, "trials"])
    longest = max((len(c) for c in entry.curves.values()), default=0)
    for i in range(longest):
        row = {names[name]: values[i] for name, values in entry.curves.items() if i < len(values)}
        run.log(row, step=i + 1)
    last: dict[str, Any] = {names[name]: value for name, value in entry.metrics.items()}
    for name, png in entry.pictures.items():
        file = scratch / f"{hashlib.sha256(png).hexdigest()}.png"
        file.write_bytes(png)
        last[names[name]] = wandb.Image(str(file))
    if entry.trials:
        last[names["trials"]] = _table(wandb, [asdict(t) for t in entry.trials])
    if last:
        run.log(last, step=longest + 1)
    if entry.bundle is not None:
        kept = wandb.Artifact(f"{queued.run.pipeline}-bundle", type="model", metadata={"sha256": entry.bundle.sha256})
        kept.add_dir(str(local_bundle(entry.bundle, scratch)))
        run.log_artifact(kept)
    if entry.files:
        kept = wandb.Artifact(f"{queued.run.pipeline}-{queued.step}", type="files")
        for name, content in entry.files.items():
            with kept.new_file(name, mode="wb") as file_of_artifact:
                file_of_artifact.write(content)
        run.log_artifact(kept)


def _table(wandb: Any, trials: list[Mapping[str, Any]]) -> Any:
    params = sorted({name for t in trials for name in t["params"]})
    told = ["number", "state", "score"]
    rows = [[t[n] for n in told] + [json.dumps(t["params"].get(n)) for n in params] for t in trials]
    return wandb.Table(columns=[*told, *params], data=rows)
