"""The dashboard and the alerts in `docs/monitoring` ask for what the server tells, and the runbook knows each alert."""

import json
import re
from pathlib import Path

import pytest
import yaml

from ml_assets.serving.metrics import Metrics

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAME = re.compile(r"\bml_assets_\w+")


def told() -> set[str]:
    """Names of all series that the server exposes."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {family.name + s for family in Metrics().registry.collect() for s in suffixes[family.type]}


def dashboard() -> dict:
    return json.loads((DOCS / "monitoring/grafana-dashboard.json").read_text())


def alerts() -> list[dict]:
    [group] = yaml.safe_load((DOCS / "monitoring/prometheus-alerts.yaml").read_text())["groups"]
    return group["rules"]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [*shown, *(rule["expr"] for rule in alerts())]


@pytest.mark.parametrize("expression", expressions())
def test_every_series_that_is_asked_for_is_told(expression):
    asked = set(NAME.findall(expression))
    assert asked
    assert asked <= told()


def test_nothing_that_is_told_about_answers_is_left_out_of_the_dashboard():
    asked = {name.removesuffix("_bucket").removesuffix("_total") for e in expressions() for name in NAME.findall(e)}
    families = {family.name for family in Metrics().registry.collect()}
    assert families - asked <= {"ml_assets_requests_in_flight", "ml_assets_ledger_sequence"}


def test_panels_have_places_of_their_own():
    places = [p["gridPos"] for p in dashboard()["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_runbook_has_every_alert():
    page = (DOCS / "model-deployment.md").read_text()
    missing = [rule["alert"] for rule in alerts() if f"`{rule['alert']}`" not in page]
    assert not missing
