"""The dashboard as a user meets it: the real command, a real browser, and pictures of every page.

Pictures go to the directory that `TONNAGE_SCREENSHOTS` names, else to a temporary one.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_S = 60
PATIENCE_MS = PATIENCE_S * 1_000
WIDTH_PX, HEIGHT_PX, HEIGHT_PX_MAX = 1_400, 1_000, 5_000

RUN = "runs/20261101-100000-cpu-quota-bursts"
OOM_RUN = "runs/20261101-100100-memory-oom"
VALIDATION = "validations/20261101-110000-cpu-quota-bursts"

# Per page: its address, texts that must be there, and how many figures.
VISITS = {
    "runs": ("/", ["Every simulation and every real run", "Validations (", "Start"], 0),
    "one-run": ("/run?" + urlencode({"run": RUN}), ["CPU used, against the quota", "run time, s", "✓ met", "holds"], 1),
    "one-run-oom": ("/run?" + urlencode({"run": OOM_RUN}), ["What happened", "process killed"], 1),
    "validation": (
        "/validation?" + urlencode({"validation": VALIDATION}),
        ["with reality on cpu-quota-bursts.", "Median error", "Standing still", "simulated less real", "Download"],
        2,
    ),
    "agreement": (
        "/agreement?story=cpu-quota-bursts",
        ["Stories that agree", "Real against simulated", "Memory and disk", "margin of tails", "at most 10 %"],
        2,
    ),
    "stories": ("/stories?story=agent-ecology", ["What if", "Five LLM agents", "tokens per second"], 0),
}


@pytest.fixture(name="pictures", scope="module")
def _pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures of this run go."""
    named = os.environ.get("TONNAGE_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(name="served_home", scope="module")
def _served_home(recorded_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that the server may write into, with records in it."""
    return shutil.copytree(recorded_home, tmp_path_factory.mktemp("served") / "home")


@pytest.fixture(name="server", scope="module")
def _server(served_home: Path) -> Iterator[str]:
    """The address of a dashboard that `tonnage dashboard` started; it ends when the command is ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tonnage", "dashboard", "--port", str(port)]
    environment = {**os.environ, "TONNAGE_HOME": str(served_home)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        assert process.stdout is not None
        assert address in process.stdout.readline()
        _wait_until_up(address)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert not _is_up(address)


def _wait_until_up(address: str) -> None:
    """Wait until the server answers, for a bounded time."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not _is_up(address):
        assert time.monotonic() < give_up_at, "the server never answered"
        time.sleep(0.2)


def _is_up(address: str) -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:  # noqa: S310  # Our own server.
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(name="browser", scope="module")
def _browser(browser_path: str) -> Iterator[Browser]:
    """A browser without a screen."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(name="page")
def _page(browser: Browser) -> Iterator[Page]:
    """A tab of its own."""
    page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
    page.set_default_timeout(PATIENCE_MS)
    yield page
    page.context.close()


def settle(page: Page) -> None:
    """Wait until Streamlit has run the page and drawn what it has."""
    expect(page.locator("h1").first).to_be_visible()
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_have_count(1)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0)


def photograph(page: Page, file: Path) -> None:
    """Take a picture of the whole page, which scrolls inside of its window."""
    height = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? document.body.scrollHeight")
    page.set_viewport_size({"width": WIDTH_PX, "height": min(int(height) + 60, HEIGHT_PX_MAX)})
    # The figures take up the new size in an animation of their own.
    page.wait_for_timeout(800)
    page.screenshot(path=file)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", VISITS)
def test_every_page_shows_what_it_promises(
    name: str, scheme: str, server: str, browser: Browser, pictures: Path
) -> None:
    """Its texts and figures are there, no exception is, and nothing is asked of any other machine."""
    address, texts, figures_count = VISITS[name]
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server + address)
    settle(page)
    for text in texts:
        expect(page.get_by_text(text).first).to_be_attached(timeout=PATIENCE_MS)
    expect(page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(figures_count)
    photograph(page, pictures / f"{name}-{scheme}.png")

    assert page.locator("[data-testid=stException]").count() == 0
    assert page.locator("[data-testid=stAlertContentError]").count() == 0
    assert [] == [url for url in asked if not url.startswith((server, "data:", "blob:"))]
    page.context.close()


@pytest.mark.parametrize("name", ["validation", "agreement"])
def test_no_label_of_a_figure_is_cut_off(name: str, server: str, page: Page) -> None:
    """Every text in a figure lies inside of it."""
    page.goto(server + VISITS[name][0])
    settle(page)
    expect(page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(2)
    page.wait_for_timeout(500)
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
            const box = plot.getBoundingClientRect();
            return [...plot.querySelectorAll('text')].filter(text => {
                const own = text.getBoundingClientRect();
                return own.width > 0 && (own.left < box.left - 1 || own.right > box.right + 1
                    || own.top < box.top - 1 || own.bottom > box.bottom + 1);
            }).map(text => text.textContent);
        })"""
    )

    assert [] == cut


def test_a_simulation_is_started_and_opened(server: str, page: Page, pictures: Path) -> None:
    """From the form to the figures of the new run, by clicks alone; the job's process is the real command line."""
    page.goto(server)
    settle(page)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Open the run").first).to_be_visible()
    photograph(page, pictures / "job-done.png")
    page.get_by_text("Open the run").first.click()
    expect(page.get_by_text("agent-ecology · Simulated", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(2)

    assert "/run?run=runs" in page.url


def test_a_what_if_outlives_its_tab(server: str, browser: Browser, page: Page, pictures: Path) -> None:
    """A tab closed right after the start loses nothing: its address shows the outcome."""
    page.goto(f"{server}/stories?story=memory-oom")
    settle(page)
    limit = page.get_by_label("agents: memory limit")
    limit.fill("512m")
    limit.press("Tab")
    page.get_by_role("button", name="Simulate").click()
    page.wait_for_url(re.compile("job=.*job="))
    address = page.url
    page.close()
    again = browser.new_page()
    again.goto(address)
    expect(again.get_by_text("With your values")).to_be_visible(timeout=PATIENCE_MS)
    expect(again.get_by_role("cell", name="OOM kills")).to_be_visible()
    photograph(again, pictures / "what-if.png")
    again.context.close()


def test_a_row_of_a_table_opens_its_record(server: str, page: Page) -> None:
    """Choosing a validation leads to its page."""
    page.goto(server)
    settle(page)
    table = page.locator("[data-testid=stDataFrame]").first
    expect(table).to_be_visible()
    page.wait_for_timeout(500)
    # The table is painted on a canvas: the box that chooses the first row is below the head, on the left.
    table.click(position={"x": 16, "y": 52})
    page.wait_for_url("**/validation?**")

    expect(page.get_by_text("with reality on").first).to_be_visible()


def test_the_report_opens_without_a_network(
    browser: Browser, recorded_home: Path, tmp_path: Path, pictures: Path
) -> None:
    """A mailed file shows its figures on a machine that is offline, and fits on a printed page."""
    report = write_report(shutil.copytree(recorded_home / VALIDATION, tmp_path / "validation"))
    context = browser.new_context(offline=True, viewport={"width": 1_200, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.goto(report.as_uri())
    expect(page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(2)
    expect(page.get_by_text("with reality on cpu-quota-bursts.")).to_be_visible()
    drawn_count = page.locator(".js-plotly-plot").last.locator(".scatterlayer .point").count()
    page.screenshot(path=pictures / "report.png", full_page=True)
    page.set_viewport_size({"width": 688, "height": 970})
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(500)
    page.screenshot(path=pictures / "report-printed.png", full_page=True)
    marks_count = page.locator(".js-plotly-plot").last.locator(".scatterlayer .point").count()
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    context.close()

    assert [report.as_uri()] == [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert [] == problems
    assert drawn_count == marks_count > 0
    assert widths[0] <= widths[1]
