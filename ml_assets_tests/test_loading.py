"""Loading the code location pays for Dagster and the YAML only; what that costs is measured in benchmarks/."""

import subprocess
import sys

import pytest

HEAVY = [
    "lightgbm",
    "matplotlib",
    "mlflow",
    "numpy",
    "optuna",
    "pandas",
    "pandera",
    "polars",
    "pyarrow",
    "scipy",
    "sklearn",
    "sqlalchemy",
]
LOAD = """
import sys
from ml_assets.definitions import defs
loaded = defs()
assert loaded.resolve_all_job_defs()
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def packages():
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", LOAD], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_package_waits_until_a_step_needs_it(packages, package):
    assert "dagster" in packages
    assert package not in packages
