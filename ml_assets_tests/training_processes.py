"""Run by tests in a process of its own: replays small projects in forked children, and kills or hinders them.

    python training_processes.py CASES.json

The file holds rounds of cases; the cases of a round go on two at a time. A case has a `project` and a `data` folder,
which is copied `from` another one if that is given, the `last` partition, and `children`, one after the other. A child
does what `ml-assets demo` does, and trains as of the last partition; it stops `until` a step of the replay is done, has
an `environment` of its own, and a `hindrance`. What a child left that did not end well is copied to `<data>-<its
number>`, as it was found; what each said is in `<data>-<its number>.said`. Pictures are a blank pixel each: they would
be half of a training this small.

Prints the exit codes of each case, round by round. The heavy packages are imported once, before forking, and not used
by the parent: what has threads would not survive a fork.
"""

import json
import os
import pkgutil
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_assets_tests.paper import Blank

AT_ONCE = 2
FILLER = "filler"
BUSY_TIMEOUT_SECONDS = 0.2


class Hindrance:
    """What happens at the n-th call of a function.

    Args:
        call: the function, as `module:Class.function`.
        n: the how-manieth call, counted from 1.
        after: whether it happens after the call, not before.
        given: only calls with this among their positional arguments count.
        since: only calls within one of this function count.
        what: `kill`; `fill` the disk that `where` is on, until nothing fits; or `lock` the database `where`.
        where: below the data folder.
    """

    def __init__(
        self,
        data: Path,
        call: str,
        n: int = 1,
        after: bool = False,
        given: object = None,
        since: str | None = None,
        what: str = "kill",
        where: str = "",
    ) -> None:
        self.n, self.after, self.given, self.what, self.where = n, after, given, what, data / where
        self.is_armed, self.count = since is None, 0
        if since is not None:
            replace(since, self._arming)
        replace(call, self._hindered)

    def _arming(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self.is_armed = True
        try:
            return function(*args, **options)
        finally:
            self.is_armed = False

    def _hindered(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        counts = self.is_armed and (self.given is None or self.given in args)
        self.count += counts
        is_now = counts and self.count == self.n
        if is_now and not self.after:
            self._happen()
        result = function(*args, **options)
        if is_now and self.after:
            self._happen()
        return result

    def _happen(self) -> None:
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "fill":
            fill(self.where)
        else:
            self.holder = sqlite3.connect(self.where, isolation_level=None, check_same_thread=False)
            self.holder.execute("begin immediate")


def replace(call: str, by: Callable[..., Any]) -> None:
    """Replace a function by one that is given it first."""
    module, _, path = call.partition(":")
    *classes, name = path.split(".")
    holder = pkgutil.resolve_name(f"{module}:{'.'.join(classes)}" if classes else module)
    function = getattr(holder, name)
    setattr(holder, name, lambda *args, **options: by(function, *args, **options))


def fill(folder: Path) -> None:
    """Leave no byte of the disk that a folder is on."""
    with (folder / FILLER).open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def child(case: dict, told: dict) -> None:
    """What `ml-assets demo` does, but for its report."""
    os.environ.update({"ML_ASSETS_DATA": case["data"], **told.get("environment", {})})
    sys.path.insert(0, case["project"])
    import dagster as dg

    from ml_assets import components
    from ml_assets.definitions import resources
    from ml_assets.replay import Replay
    from ml_assets.resources.home import instance
    from ml_assets.resources.ledger import Ledger

    outside = resources()
    # Or a test of a locked database would wait for half a minute.
    outside["ledger"] = Ledger(url=outside["ledger"].url, busy_timeout_seconds=BUSY_TIMEOUT_SECONDS)
    root = Path(case["project"])
    loaded = dg.load_from_defs_folder(path_within_project=root)
    tree = dg.ComponentTree.for_project(root)
    [component] = tree.get_all_components(components.Pipeline)
    if "hindrance" in told:
        Hindrance(Path(case["data"]), **told["hindrance"])
    with instance() as shared:
        definitions = dg.Definitions.merge(loaded, dg.Definitions(resources=outside))
        replay = Replay(component.on_its_table(tree), definitions, shared, None, case["last"])
        replay.end_what_was_killed()
        for step in replay.steps():
            if [step.partition, step.what] == told.get("until"):
                return
        train_by_hand(replay)


def train_by_hand(replay: Any) -> None:
    """A training as of the last partition, unless it is done: all that the YAML says, a study included."""
    window, nouns = replay.windows[-1], list(replay.pipeline.training_side)
    if not replay._trained(len(replay.windows) - 1):
        replay._run("train", window, nouns, "a person asks")


def run_case(case: dict, exits: Path) -> None:
    """The children of a case; their exit codes into a file."""
    data, codes = Path(case["data"]), []
    if "from" in case:
        shutil.copytree(case["from"], data, dirs_exist_ok=True)
    for i, told in enumerate(case["children"]):
        for filler in data.rglob(FILLER):
            filler.unlink()
        codes.append(exit_code(forked(child, case, told, said=Path(f"{data}-{i}.said"))))
        if codes[-1]:
            shutil.copytree(data, f"{data}-{i}", ignore=shutil.ignore_patterns(FILLER))
    exits.write_text(json.dumps(codes))


def forked(work: Callable[..., None], *arguments: object, said: Path | None = None) -> int:
    """The pid of a child that does it; what it says may go to a file."""
    pid = os.fork()
    if pid:
        return pid
    if said is not None:
        sys.stdout.flush()
        with said.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    code = 1
    try:
        work(*arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def exit_code(pid: int) -> int:
    """Of a child, when it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_round(cases: list[dict], folder: Path) -> list[list[int]]:
    """The exit codes of the cases' children."""
    files, going_on = [], 0
    for case in cases:
        if going_on == AT_ONCE:
            os.wait()
            going_on -= 1
        files.append(folder / f"{Path(case['data']).name}.exits")
        forked(run_case, case, files[-1])
        going_on += 1
    for _ in range(going_on):
        os.wait()
    return [json.loads(file.read_text()) for file in files]


def main() -> None:
    """All rounds of a file."""
    file = Path(sys.argv[1])
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import dagster_mlflow  # noqa: F401
    import jinja2  # noqa: F401
    import lightgbm  # noqa: F401
    import mlflow.pyfunc
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import optuna.storages  # noqa: F401
    import pandera.backends.polars.builtin_checks
    import pandera.polars  # noqa: F401
    import sklearn.linear_model
    import sklearn.tree  # noqa: F401
    import sqlalchemy.orm
    from matplotlib import figure
    from matplotlib.backends import backend_agg

    import ml_assets.components
    import ml_assets.definitions
    import ml_assets.replay  # noqa: F401

    # Else every child would do it anew.
    sqlalchemy.orm.configure_mappers()
    figure.Figure = backend_agg.FigureCanvasAgg = Blank
    rounds = json.loads(file.read_text())
    sys.stdout.write(json.dumps([run_round(cases, file.parent) for cases in rounds]))


if __name__ == "__main__":
    main()
