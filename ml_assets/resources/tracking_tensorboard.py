"""Entries as TensorBoard event files; the only code that knows tensorboardX.

They are in `<folder>/<pipeline>/<as-of> <run>/<step>/`. A step's folder is written aside and moved to its place whole,
so that a delivery repeated after a kill replaces it.
"""

import re
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from ml_assets.core.errors import ConfigError
from ml_assets.core.tracked import Entry, flattened
from ml_assets.resources.tracking_delivery import Say, TrackerDown
from ml_assets.resources.tracking_queue import Queued

SHORT = 8
_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9_\-. ]")


@dataclass(frozen=True)
class TensorboardTracker:
    """Event files below a local folder."""

    folder: Path
    name: ClassVar[str] = "tensorboard"

    @staticmethod
    def require_package() -> None:
        """Raise a ConfigError unless tensorboardX is installed."""
        if find_spec("tensorboardX") is None:
            raise ConfigError(
                "trackers: tensorboard", found="the package tensorboardX is not installed",
                expected="it, as it writes the event files", cure="install ml-assets[tensorboard]",
            )  # fmt: skip

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    def deliver(self, queued: Queued, say: Say) -> None:  # noqa: ARG002
        """See `tracking_delivery.Tracker`."""
        run = queued.run
        if not run.dagster_run_id:
            return
        name = _NOT_IN_A_PATH.sub("_", f"{run.as_of} {run.dagster_run_id[:SHORT]}".strip())
        target = self.folder / run.pipeline / name / _NOT_IN_A_PATH.sub("_", queued.step)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=self.folder) as scratch:
                written = Path(scratch) / target.name
                _write(written, queued)
                if target.exists():
                    shutil.rmtree(target)
                written.rename(target)
        except OSError as error:
            raise TrackerDown(
                f"TensorBoard's folder {self.folder}", found=str(error), expected="a folder to write to",
                cure="see that it is there, may be written to, and has disk space",
            ) from error  # fmt: skip


def _write(folder: Path, queued: Queued) -> None:
    from tensorboardX import SummaryWriter

    entry = queued.entry
    with SummaryWriter(str(folder)) as writer:
        for name, value in entry.metrics.items():
            writer.add_scalar(name, value, 0, walltime=queued.at)
        for name, values in entry.curves.items():
            for i, value in enumerate(values, start=1):
                writer.add_scalar(name, value, i, walltime=queued.at)
        told = {**flattened(entry.params), **_facts(queued)}
        table = "\n".join(
            ["|name|value|", "|---|---|", *(f"|{n}|{v.replace('|', '&#124;')}|" for n, v in told.items())]
        )
        writer.add_text("run", table, 0, walltime=queued.at)
        for name, png in entry.pictures.items():
            writer.file_writer.add_summary(_image(name, png), 0, queued.at)
    for trial in entry.trials:
        with SummaryWriter(str(folder / f"trial {trial.number:03d}")) as writer:
            numbers = {n: v for n, v in trial.params.items() if isinstance(v, bool | int | float)}
            params: dict[str, Any] = {**flattened(trial.params), **numbers, "state": trial.state}
            score = float("nan") if trial.score is None else trial.score
            _add_trial(writer, params, {"score": score}, queued.at)


def _facts(queued: Queued) -> Mapping[str, str]:
    entry: Entry = queued.entry
    read = {f"{d.name} ({d.part})": f"SHA-256 {d.sha256}, {d.rows} rows" for d in entry.datasets}
    bundle = {"bundle": entry.bundle.sha256} if entry.bundle else {}
    return {**queued.run.tags(), **entry.tags, **read, **bundle}


def _add_trial(writer: Any, params: Mapping[str, Any], metrics: Mapping[str, float], at: float) -> None:
    """As `add_hparams`, which would make a folder of its own for each, named by the clock."""
    from tensorboardX.summary import hparams

    for summary in hparams(dict(params), dict(metrics)):
        writer.file_writer.add_summary(summary, None, at)
    for name, value in metrics.items():
        writer.add_scalar(name, value, 0, walltime=at)


def _image(name: str, png: bytes) -> Any:
    """The PNG as it is: nothing is decoded."""
    from tensorboardX.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=name, image=image)])
