"""The whole chain on thirty months of real trips: every row is accounted for, and the report shows what changed."""

import json
from statistics import mean

import pytest
from click.testing import CliRunner

from ml_assets.cli import main

pytestmark = pytest.mark.slow


def test_thirty_months_of_real_trips(tlc, tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    done = CliRunner().invoke(main, ["demo", "--source", str(tlc), "--json", str(tmp_path / "summary.json")])
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "summary.json").read_text())
    months = {p["partition"]: p for p in summary["partitions"]}
    assert len(months) == 30
    for p in months.values():
        assert p["rows_raw"] == 10_000 == p["rows_validated"] + p["rows_quarantined"]
        assert sum(p["quarantine_reasons"].values()) >= p["rows_quarantined"] > 0

    assert months["2019-01"]["schema_changes"] == ["congestion_surcharge appeared: double"]
    assert sum(bool(p["schema_changes"]) for p in months.values()) == 1

    def of(what: str, name: str, first: str, last: str) -> list[int]:
        return [p[what].get(name, 0) for key, p in months.items() if first <= key <= last]

    early, late = (("2018-01", "2020-03"), ("2020-04", "2020-06"))
    assert sum(of("quarantine_reasons", "unique", *early)) < sum(of("quarantine_reasons", "unique", *late))
    assert of("quarantine_reasons", "unique", *late) == [11, 3, 3]
    assert min(of("missing_values", "passengers", *late)) > 2 * mean(of("missing_values", "passengers", *early))

    scored = [p["metric"] for key, p in months.items() if "2019-01" <= key <= "2020-02"]
    assert mean(scored) < 2.9
    page = (tmp_path / "data/reports/trip_duration/report.html").read_text()
    for told in ("unique", "passengers", "congestion_surcharge appeared: double"):
        assert told in page.replace("<wbr>", "")
