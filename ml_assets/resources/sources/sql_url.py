"""A database's URL: secrets from the environment, the driver, the file if it is one."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ml_assets.core.errors import ConfigError, SourceNotFound
from ml_assets.resources.sources.masking import mask_url

if TYPE_CHECKING:
    from sqlalchemy import URL

DRIVERS = {"postgresql": "postgresql+psycopg2", "postgres": "postgresql+psycopg2"}
"""SQLAlchemy 2.1 takes `postgresql://` to mean psycopg 3, which is not what the extra `postgres` installs."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def resolve_url(url: str, base_dir: Path) -> "URL":
    """The URL as SQLAlchemy takes it.

    Args:
        url: with `${NAME}` where a value is in the environment, or `env:NAME` where all of it is. A value in
            the place of user or password may contain any character.
        base_dir: where relative paths of SQLite files start.

    Raises:
        ConfigError: an environment variable is not set, or it is no URL.
        SourceNotFound: the SQLite file does not exist (SQLite would make an empty one).
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    expanded = _variable(url.removeprefix("env:"), url) if url.startswith("env:") else _expanded(url)
    try:
        resolved = make_url(expanded)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "source.url",
            found=f"{mask_url(url)}, which is no SQLAlchemy URL",
            expected="dialect://user:password@host/database, e.g. "
            "postgresql://me:${PGPASSWORD}@db/trips, or sqlite:///trips.db",
            cure="correct source.url",
        ) from (error if expanded == url and mask_url(url) == url else None)
    resolved = resolved.set(drivername=DRIVERS.get(resolved.drivername, resolved.drivername))
    database = resolved.database or ""
    if resolved.get_backend_name() != "sqlite" or database in ("", ":memory:") or database.startswith("file:"):
        return resolved
    path = base_dir / Path(database).expanduser()
    if not path.is_file():
        raise SourceNotFound(
            f"source {mask_url(url)}",
            found=f"no file {path}",
            expected="an SQLite database",
            cure="correct source.url",
        )
    return resolved.set(database=str(path))


def secrets_of(url: "URL") -> list[str]:
    """What must not appear in a message: the password, and query parameters, which may hold one."""
    given = [str(url.password)] if url.password else []
    return given + [v for value in url.query.values() for v in ([value] if isinstance(value, str) else value)]


def _expanded(url: str) -> str:
    end_of_login = url.rfind("@")

    def value(match: re.Match[str]) -> str:
        text = _variable(match[1], url)
        return quote(text, safe="") if match.start() < end_of_login else text

    return _VARIABLE.sub(value, url)


def _variable(name: str, url: str) -> str:
    if name not in os.environ:
        raise ConfigError(
            "source.url",
            found=f"{mask_url(url)}, but the environment has no {name}",
            expected=f"{name} to be set",
            cure=f"export {name}=…",
        )
    return os.environ[name]
