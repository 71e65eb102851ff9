"""The report as a reader meets it: one page, in a real browser, with no request to anywhere."""

import json
import re
import shutil
import subprocess

import pytest

from flows.valuation import valuation
from tests.conftest import set_params

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def report(project):
    set_params(project, valuation__budget=20)
    valuation(project=project.root)
    return project.valuation / "report.html"


def test_the_page_is_self_contained(report):
    text = report.read_text()
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert "form-03" in text
    assert "trusted" in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_it_and_asks_nobody(report, tmp_path):
    log, picture = tmp_path / "net.json", tmp_path / "page.png"
    for output in ([f"--screenshot={picture}"], ["--dump-dom"]):
        done = subprocess.run(
            [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}",
             "--window-size=1000,2500", *output, report.as_uri()],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert picture.stat().st_size > 50_000
    assert done.stdout.count("<svg") == 3
    events = json.loads(log.read_text())
    types = {number: name for name, number in events["constants"]["logEventTypes"].items()}
    asked = {
        e["params"]["url"]
        for e in events["events"]
        if types[e["type"]] == "URL_REQUEST_START_JOB" and "url" in e.get("params", {})
    }
    page_requests = {url for url in asked if not url.startswith(("chrome", "data:", "file:"))}
    # what the browser itself may look up at start is none of the page's doing
    assert not {url for url in page_requests if "google" not in url and "gstatic" not in url}
