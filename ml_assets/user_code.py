"""The Python files that users write beside a `defs.yaml`: what a reference such as `schema:Trip` means.

They are imported on first use, not when the code location loads: pandera alone would double the time of
loading. What can be checked without importing them is checked at once, by reading their syntax.
"""

import ast
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_assets.core.errors import ConfigError


@dataclass(frozen=True)
class Reference:
    """A name in a Python file beside a `defs.yaml`, written `file:Name`."""

    folder: Path
    text: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.text.split(':')[0]}.py"

    @property
    def name(self) -> str:
        """The name in it."""
        return self.text.split(":")[1]

    def check(self, yaml_key: str) -> ast.stmt:
        """The statement that defines the name.

        Raises:
            ConfigError: there is no such file, it is not Python, or it does not define the name.
        """
        where = f"{self.folder / 'defs.yaml'}, {yaml_key}: {self.text}"
        if not self.path.is_file():
            raise ConfigError(
                where,
                found=f"no file {self.path}",
                expected="a Python file beside defs.yaml",
                cure=f"create {self.path.name} or correct {yaml_key}",
            )
        try:
            tree = ast.parse(self.path.read_text(encoding="utf-8"), filename=str(self.path))
        except SyntaxError as e:
            raise ConfigError(
                where,
                found=f"line {e.lineno} of {self.path.name}: {e.msg}",
                expected="valid Python",
                cure=f"correct {self.path}",
            ) from e
        defined = {name: statement for statement in tree.body for name in _names_bound_by(statement)}
        if self.name not in defined:
            raise ConfigError(
                where,
                found=f"{self.path.name} defines {sorted(defined)}",
                expected=self.name,
                cure=f"define {self.name} in {self.path.name} or correct {yaml_key}",
            )
        return defined[self.name]

    def load(self) -> Any:
        """Import the file and return the object."""
        module_name = f"ml_assets_defs.{self.folder.name}.{self.path.stem}"
        module = sys.modules.get(module_name)
        if module is None or getattr(module, "__file__", None) != str(self.path):
            spec = importlib.util.spec_from_file_location(module_name, self.path)
            if spec is None or spec.loader is None:
                raise ConfigError(
                    self.text,
                    found=f"{self.path} can't be imported",
                    expected="a Python file",
                    cure="correct the reference",
                )
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[module_name]
                raise
        return getattr(module, self.name)


def _names_bound_by(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [t.id for t in targets if isinstance(t, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [a.asname or a.name for a in names]
        case _:
            return []


def history_written_in(path: Path) -> list[tuple[str, str]] | None:
    """Window and delay of every `HistoryFeature` that a features file declares; None where reading can't tell.

    Reading can't tell where a length is not written out, or where a declaration may come from another file.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import) and not _declares_nothing(node):
            return None
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("HistoryFeature"):
            given = {k.arg: k.value for k in node.keywords}
            window, delay = given.get("window"), given.get("delay", ast.Constant("0s"))
            if None in given or not isinstance(window, ast.Constant) or not isinstance(delay, ast.Constant):
                return None
            found.append((str(window.value), str(delay.value)))
    return found


def _declares_nothing(statement: ast.Import | ast.ImportFrom) -> bool:
    """Whether what is imported is known to bring no declarations with it, under their own name at least."""
    modules = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else [a.name for a in statement.names]
    renamed = any(a.asname for a in statement.names if a.name == "HistoryFeature")
    safe = {"polars", *sys.stdlib_module_names}
    return not renamed and all(m.startswith("ml_assets.core.") or m.split(".")[0] in safe for m in modules)


def columns_written_in(model: ast.stmt) -> set[str] | None:
    """Columns that a pandera model declares in its own body; None where it inherits some from elsewhere."""
    if not isinstance(model, ast.ClassDef):
        return None
    bases = [ast.unparse(b).rsplit(".", 1)[-1] for b in model.bases]
    if bases != ["DataFrameModel"]:
        return None
    return {s.target.id for s in model.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}
