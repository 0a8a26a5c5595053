"""What the code location pays for sources, and that configurations become the right ones without showing secrets."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from ml_assets.resources.sources.files import FilesSource
from ml_assets.resources.sources.interface import SourceConfig, make_source
from ml_assets.resources.sources.simulated import SimulatedSource
from ml_assets.resources.sources.sql import SqlSource

QUERY = "SELECT * FROM trips WHERE at >= :start AND at < :end ORDER BY id"
PARSE = TypeAdapter(SourceConfig).validate_python


def test_importing_the_interface_imports_nothing_heavy():
    code = (
        "import sys, ml_assets.resources.sources.interface as i\n"
        "print(sorted({'polars', 'pyarrow', 'sqlalchemy', 'fsspec', 'numpy', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"kind": "files", "path": "{year}.csv"}, FilesSource),
        ({"kind": "sql", "url": "sqlite://", "query": QUERY}, SqlSource),
        ({"kind": "simulated"}, SimulatedSource),
    ],
)
def test_a_configuration_becomes_the_source_of_its_kind(config, kind, tmp_path):
    assert type(make_source(PARSE(config), tmp_path)) is kind


@pytest.mark.parametrize(
    "config",
    [{"kind": "ftp"}, {"path": "{year}.csv"}, {"kind": "simulated", "rows": 0}, {"kind": "simulated", "row": 5}],
)
def test_a_configuration_that_means_nothing_is_refused(config):
    with pytest.raises(ValidationError):
        PARSE(config)


def test_no_secret_in_what_a_configuration_shows():
    sql = PARSE({"kind": "sql", "url": "postgresql://me:hunter2@db/trips?password=hunter2", "query": QUERY})
    files = PARSE({"kind": "files", "path": "https://me:hunter2@host/{year}.csv?sig=hunter2&part=1"})
    for config in (sql, files):
        assert "hunter2" not in config.model_dump_json()
        assert "hunter2" not in str(config.model_dump())
    assert "hunter2" not in repr(sql)
    assert "part=1" in files.model_dump_json()
    with pytest.raises(ValidationError) as caught:
        PARSE({"kind": "sql", "url": "postgresql://me:hunter2@db/trips", "query": "SELECT 1", "rows": 1})
    assert "hunter2" not in str(caught.value)
