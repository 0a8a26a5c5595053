"""Take the README's pictures of the Dagster UI, with a headless Chromium, from a data folder with a finished demo.

    ml-assets demo-live --data /tmp/shots-data
    python scripts/take_screenshots.py --data /tmp/shots-data --partition 2020-04

starts Dagster's web server on that folder, without the daemon so that nothing moves (or uses one that runs: `--url
http://127.0.0.1:3000`), and writes three pictures to `docs/images`: `graph.png`, the assets of a pipeline and of its
table, `drift_report.png`, the page of a drifted partition with the distributions of its columns, and `rollout.png`, the
last rollout with its way and its guardrails. It waits for what is to be seen, and fails where it does not come.

Needs Playwright and Pillow, which the project does not depend on, and Chromium:

    .venv/bin/pip install playwright pillow && (apt-get install -y chromium || .venv/bin/playwright install chromium)

or, to leave the environment as it is, `pip install --target DIR playwright` and `PYTHONPATH=DIR`.
"""

import argparse
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import ConfigError, MLAssetsError, PartitionMissing
from ml_assets.live_location import WORKSPACE
from ml_assets.project import pipeline_named
from ml_assets.resources.home import prepare_home

if TYPE_CHECKING:
    from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = {"playwright": "playwright", "PIL": "pillow"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STARTING_SECONDS, SHOWING_SECONDS, STOPPING_SECONDS, POLL_SECONDS = 180, 120, 20, 0.5
MOST_ZOOMS = 15
WIDTH, MARGIN, COLORS = 1700, 12, 128
"""Of a picture: most pixels across, pixels around what is shown, colours of its palette."""
GROUPS = """() => [...document.querySelectorAll('[data-svg-viewport] foreignObject')].map(e => {
    const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] })"""
"""Where the groups and assets are in the page, as left, top, right, bottom."""
PANE = """() => { const r = document.querySelector('[data-svg-viewport]').parentElement.getBoundingClientRect();
    return [r.left, r.top, r.right, r.bottom] }"""
"""Where the graph may be seen."""
WIDE = ".dagster-dialog { width: 1140px !important } .dagster-dialog img { width: 100% }"
BARE = """*:has(> * > * > * > [aria-label=zoom_in]) { visibility: hidden }
    [data-svg-viewport], :has(> [data-svg-viewport]) { background: white !important }"""
"""Styles: a dialog as wide as the page's pane; no buttons over the graph, and no dots below it, which take bytes."""
LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"


def require_tools(chromium: str | None) -> str | None:
    """Where Chromium is; None where Playwright has one of its own.

    Raises:
        ConfigError: Playwright or Pillow is not installed, or the path given is none.
    """
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            "taking screenshots",
            found=f"no {' and no '.join(missing)} in {sys.prefix}",
            expected="Playwright and Pillow, which are no dependencies of the project",
            cure="pip install playwright pillow && (apt-get install -y chromium || playwright install chromium)",
        )
    found = chromium or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is not None and not Path(found).is_file():
        raise ConfigError(
            f"--chromium {found}", found="no such file", expected="a Chromium", cure="apt-get install -y chromium"
        )
    return found


def drifted_partition(data: Path, pipeline: str) -> str:
    """The latest partition whose drift report says `drifted`.

    Raises:
        PartitionMissing: there is none.
    """
    reports = sorted((data / "store" / pipeline / "drift").glob("*.json"), reverse=True)
    for report in reports:
        if json.loads(report.read_text())["verdict"] == "drifted":
            return report.stem
    raise PartitionMissing(
        f"drifted partition of {pipeline}",
        found=f"{len(reports)} drift reports in {data}, none of them drifted",
        expected="a data folder with a finished demo",
        cure=f"ml-assets demo-live --data {data}, or name one with --partition",
    )


@contextmanager
def served(data: Path) -> Iterator[str]:
    """The address of a Dagster UI on a data folder, as long as it is needed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ["ML_ASSETS_DATA"] = str(data.resolve())
    prepare_home()
    command = [sys.executable, "-m", "dagster_webserver", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(command, cwd=data, stdout=said, stderr=said, start_new_session=True)  # noqa: S603
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_loaded(url, server)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def wait_until_loaded(url: str, server: "subprocess.Popen[bytes] | None" = None) -> None:
    """Return when the UI has loaded the definitions.

    Raises:
        ConfigError: it has ended, or does not answer in time.
    """
    body = json.dumps({"query": LOADED}).encode()
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline and (server is None or server.poll() is None):
        try:
            request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                entries = json.load(answer)["data"]["workspaceOrError"].get("locationEntries", [])
            if entries and all(entry["loadStatus"] == "LOADED" for entry in entries):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(POLL_SECONDS)
    raise ConfigError(
        f"Dagster UI at {url}",
        found="it has ended" if server is not None and server.poll() is not None else "no answer",
        expected=f"loaded definitions within {STARTING_SECONDS} s",
        cure="start `ml-assets dev` by hand and look at what it says",
    )


def graph(page: Any, url: str, pipeline: str, table: str) -> "Image.Image":
    """The assets of a pipeline and of its table, with all groups open."""
    page.set_viewport_size({"width": 2600, "height": 2400})
    selection = urllib.parse.quote(f'key:"{table}/*" or key:"{pipeline}/*"', safe="")
    page.goto(f"{url}/asset-groups~{selection}/~explorer-graph")
    page.get_by_text("monitoring").first.wait_for()
    page.keyboard.press("Alt+E")
    page.get_by_text("predictions").first.wait_for()
    settle(page)
    page.get_by_text("Hide navigation").click()
    # It closes the list of groups; the same icon opens the navigation while that is closed.
    page.locator('[aria-label="panel_show_right"]').last.click()
    settle(page)
    # The graph was made to fit before its last groups opened.
    for _ in range(MOST_ZOOMS):
        if within(drawn(page), page.evaluate(PANE)):
            break
        page.locator('[aria-label="zoom_out"]').click()
        settle(page)
    page.add_style_tag(content=BARE)
    settle(page)
    return clipped(page, *drawn(page))


def drawn(page: Any) -> tuple[float, float, float, float]:
    """Where the graph is: left, top, right, bottom."""
    lefts, tops, rights, bottoms = zip(*page.evaluate(GROUPS), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def within(inner: Sequence[float], outer: Sequence[float]) -> bool:
    """Whether a box is wholly inside another one; each is left, top, right, bottom."""
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def drift_report(page: Any, url: str, pipeline: str, partition: str) -> "Image.Image":
    """The page of a drifted partition: its verdict, its columns, and below them the picture that it links to."""
    page.set_viewport_size({"width": 1700, "height": 1600})
    page.goto(f"{url}/assets/{pipeline}/drift?view=partitions&partition={partition}")
    return told_and_drawn(page, page.locator("table table").first)


def rollout(page: Any, url: str, pipeline: str) -> "Image.Image":
    """The page of the last rollout: state, reasons, arms, guardrails and history, and below them its picture."""
    page.set_viewport_size({"width": 2300, "height": 1900})
    page.goto(f"{url}/assets/{pipeline}/rollout?view=events")
    return told_and_drawn(page, page.locator("table table").nth(2))


def told_and_drawn(page: Any, last: Any) -> "Image.Image":
    """What an asset tells about itself down to one of its tables, and below it the picture that it links to."""
    page.add_style_tag(content=WIDE)
    pictures = page.get_by_text("[Show Markdown]")
    pictures.first.wait_for()
    settle(page)
    whole, end = page.locator("table").first.bounding_box(), last.bounding_box()
    above = clipped(page, whole["x"], whole["y"], whole["x"] + whole["width"], end["y"] + end["height"])
    pictures.first.click()
    page.locator(".dagster-dialog img").wait_for()
    settle(page)
    picture = opened(page.locator(".dagster-dialog .dagster-markdown, .dagster-dialog img").last.screenshot())
    return stacked(above, picture)


def settle(page: Any) -> None:
    """Wait until two pictures in a row are the same."""
    deadline, before = time.monotonic() + SHOWING_SECONDS, b""
    while (now := page.screenshot()) != before:
        if time.monotonic() > deadline:
            raise ConfigError(
                page.url, found=f"it still changes after {SHOWING_SECONDS} s", expected="a page that stands still",
                cure="wait until no run goes on, and give the same command again",
            )  # fmt: skip
        before = now
        time.sleep(1)


def clipped(page: Any, left: float, top: float, right: float, bottom: float) -> "Image.Image":
    """A part of the page with a margin."""
    left, top = max(0.0, left - MARGIN), max(0.0, top - MARGIN)
    clip = {"x": left, "y": top, "width": right + MARGIN - left, "height": bottom + MARGIN - top}
    return opened(page.screenshot(clip=clip))


def opened(png: bytes) -> "Image.Image":
    """A screenshot as an image."""
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")


def stacked(*images: "Image.Image") -> "Image.Image":
    """Images below each other, in the middle."""
    from PIL import Image

    width = max(image.width for image in images)
    sheet = Image.new("RGB", (width, sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        sheet.paste(image, ((width - image.width) // 2, top))
        top += image.height
    return sheet


def reduced(image: "Image.Image") -> "Image.Image":
    """At most `WIDTH` across, with a palette: a page has few colours."""
    from PIL import Image

    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    return image.quantize(COLORS)


def main(given: list[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder with a finished demo-live")
    parser.add_argument("--url", help="a Dagster UI on that folder; without it one is started")
    parser.add_argument("--pipeline", default="trip_duration", help="whose assets (default: %(default)s)")
    parser.add_argument("--partition", help="which drift report (default: the last that says drifted)")
    parser.add_argument("--chromium", help="path of a Chromium (default: the one on PATH, else Playwright's)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs/images", help="folder (default: docs/images)")
    options = parser.parse_args(given)
    try:
        chromium = require_tools(options.chromium)
        partition = options.partition or drifted_partition(options.data, options.pipeline)
        with nullcontext(options.url) if options.url else served(options.data) as url:
            pictures = taken(url.rstrip("/"), chromium, options.pipeline, partition)
    except MLAssetsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    for name, image in pictures.items():
        file = options.out / f"{name}.png"
        reduced(image).save(file, optimize=True)
        sys.stdout.write(f"{file}  {file.stat().st_size:,} bytes\n")
    return 0


def taken(url: str, chromium: str | None, pipeline: str, partition: str) -> "dict[str, Image.Image]":
    """The pictures by name."""
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(1000 * SHOWING_SECONDS)
            return {
                "graph": graph(page, url, pipeline, pipeline_named(pipeline).table.name),
                "drift_report": drift_report(page, url, pipeline, partition),
                "rollout": rollout(page, url, pipeline),
            }
    except Error as error:
        raise ConfigError(
            f"pictures of {url}",
            found=str(error).strip().splitlines()[0],
            expected="a Chromium that starts, and pages as Dagster 1.13 has them",
            cure="playwright install chromium, or look at that address; this script follows what Dagster's pages hold",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
