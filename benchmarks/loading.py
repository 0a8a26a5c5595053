"""What loading the code location costs, against importing Dagster and letting it read the same YAML.

The base imports Dagster and hands the same `defs.yaml` files to components that build nothing: that is what
any Dagster project with this YAML pays. Aim: at most 1.3 times that.
"""

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import compare, run, table

REPOSITORY = Path(__file__).resolve().parents[1]

BARE = """
import dagster as dg
class Table(dg.Component):
    @classmethod
    def get_model_cls(cls): return None
    def build_defs(self, context): return dg.Definitions()
class Pipeline(Table): pass
"""
BASE = """
import sys; sys.path.insert(0, {root!r})
import dagster as dg
from pathlib import Path
dg.load_from_defs_folder(path_within_project=Path({root!r}))
"""
OURS = "from ml_assets.definitions import defs; defs()"


def main(repetitions: int = 7) -> str:
    """Measure, and return the table."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        package = root / "bare"
        (package / "defs").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "components.py").write_text(BARE)
        (root / "pyproject.toml").write_text(
            '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "bare"\n'
            'registry_modules = ["bare.components"]\n'
        )
        for file in sorted((REPOSITORY / "ml_assets/defs").glob("*/defs.yaml")):
            target = package / "defs" / file.parent.name / "defs.yaml"
            target.parent.mkdir()
            shutil.copy(file, target)
            target.write_text(target.read_text().replace("ml_assets.components", "bare.components"))
        contenders = {
            "import dagster": partial(run, ["-c", "import dagster"]),
            "import dagster + reading the YAML": partial(run, ["-c", BASE.format(root=str(root))]),
            "ml_assets": partial(run, ["-c", OURS]),
        }
        return table(compare(contenders, repetitions), base="import dagster + reading the YAML")


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")
