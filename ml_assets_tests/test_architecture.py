"""The rules of the house that a machine can hold: who may import whom, what is heavy, what must be described."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ml_assets"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "defs" not in p.relative_to(PACKAGE).parts)
HEAVY = {"lightgbm", "matplotlib", "mlflow", "optuna", "pandas", "pandera", "scipy", "sklearn"}
NOT_AT_LOADING = HEAVY | {"polars", "pyarrow", "sqlalchemy", "numpy", "aiohttp"}
FORBIDDEN_IN_CORE = {
    "dagster", "mlflow", "dvc", "sqlalchemy", "fsspec", "upath", "requests", "httpx", "aiohttp", "os", "subprocess",
    "socket", "random", "pickle",
}  # fmt: skip

# Layers from the bottom up; a module may import from its own layer and from those below.
LAYERS = [
    ("core",),
    ("partitions", "resources"),
    ("serving",),
    ("config",),
    ("problem", "served", "served_contract", "user_code"),
    ("attributing", "dead_runs", "releasing", "observing"),
    ("retraining", "rolling_out"),
    ("assets", "ledger_audit"),
    ("checks", "jobs", "landing", "scaffolds", "sensors", "retraining_sensors", "rollout_sensors", "served_sensors"),
    ("components",),
    ("definitions", "project"),
    ("stale_data",),
    ("replay",),
    ("replay_in_words",),
    ("catch_up", "demo", "explain", "explain_request", "release_commands", "restore", "summarize", "traffic"),
    ("demo_server", "live_location"),
    ("demo_live",),
    ("ledger_commands", "rollout_commands"),
    ("cli_options",),
    ("cli_ledger", "cli_serving", "cli_traffic"),
    ("cli_rollout",),
    ("cli",),
]


def name_of(path: Path) -> str:
    return ".".join(("ml_assets", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported_by(path: Path) -> frozenset[str]:
    return frozenset(imports(tree_of(path)))


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def at_module_level(tree: ast.Module) -> set[str]:
    """Imports that run when the module is loaded: those in functions and under TYPE_CHECKING do not."""
    statements = [s for s in tree.body if not (isinstance(s, ast.If) and "TYPE_CHECKING" in ast.unparse(s.test))]
    return {
        name
        for s in statements
        if not isinstance(s, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        for name in imports(s)
    }


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "ml_assets" or len(parts) == 1:
        return None
    return next((i for i, names in enumerate(LAYERS) if parts[1] in names), None)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module(path):
    module, tree = name_of(path), tree_of(path)
    everything, loaded = imported_by(path), at_module_level(tree)
    own = layer_of(module)
    above = sorted(i for i in everything if own is not None and (layer_of(i) or 0) > own)
    assert not above, f"{module} imports from a layer above its own: {above}"
    assert module == "ml_assets" or own is not None, f"{module} has no place in LAYERS"

    tops = {i.split(".")[0] for i in loaded}
    in_core = module.startswith("ml_assets.core")
    assert not tops & (HEAVY if in_core else NOT_AT_LOADING), f"{module} loads a heavy package at once"
    if in_core:
        assert not {i.split(".")[0] for i in everything} & FORBIDDEN_IN_CORE, f"{module} is not pure"
    assert ast.get_docstring(tree), f"{module} does not say what belongs in it"
    asserts = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    assert not asserts, f"{module} validates with assert in lines {asserts}"


def test_packages_hold_a_docstring_only():
    for path in PACKAGE.rglob("__init__.py"):
        body = tree_of(path).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_no_module_is_an_orphan():
    scripts = sorted((PACKAGE.parent / "scripts").glob("*.py"))
    used = set().union(*(imported_by(p) for p in [*MODULES, *scripts]))
    orphans = {name_of(p) for p in MODULES if p.name != "__init__.py"} - used
    entries = {
        "ml_assets.definitions", "ml_assets.cli", "ml_assets.serving.trial", "ml_assets.serving.shadows.process",
        "ml_assets.served_contract",
    }  # fmt: skip
    asked_by_tests = {
        "ml_assets.core.simulation.truth",  # what a detector should find in simulated trips
        "ml_assets.serving.prediction_log",  # written by the server
        "ml_assets.core.requests",  # rules of rows that arrive one by one, from the same model as those of partitions
        "ml_assets.core.rollout.routes",  # what a server asks
        "ml_assets.served",  # what the server knows of a pipeline
        "ml_assets.serving.app",
        "ml_assets.serving.exposing",
        "ml_assets.serving.protocols.grpc_server",
        "ml_assets.serving.loading",
    }
    assert orphans <= entries | asked_by_tests, orphans


def test_the_rules_see_what_they_forbid():
    tree = ast.parse("import mlflow\nfrom ml_assets.cli import main\ndef f():\n    import pandas")
    assert "mlflow" in at_module_level(tree)
    assert "pandas" not in at_module_level(tree)
    assert layer_of("ml_assets.cli.main") > layer_of("ml_assets.core.windows")


def test_only_one_module_knows_each_outside_world():
    owners = {
        "mlflow": "resources/tracking.py", "dagster_mlflow": "resources/tracking.py",
        "wandb": "resources/tracking_wandb.py", "tensorboardX": "resources/tracking_tensorboard.py",
        "dvc": "resources/versioning.py", "requests": None, "aiohttp": "resources/serving_client.py",
    }  # fmt: skip
    for package, owner in owners.items():
        users = [str(p.relative_to(PACKAGE)) for p in MODULES if package in {i.split(".")[0] for i in imported_by(p)}]
        assert set(users) <= {owner}, f"{package} is imported by {users}"
