"""Chromium without a window, as somebody who reads a report has it."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import axe_core_python
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "chromium or chromedriver is not installed"
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
PATIENCE = 20


class Page:
    """A page that is open, its pictures drawn."""

    def __init__(self, driver: webdriver.Chrome, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        wait_for(lambda: self.run("return 'drawn' in document.documentElement.dataset"))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def column(self, table: str, number: int) -> list[str]:
        """The texts of a column's visible cells, from above."""
        script = (
            "return [...document.querySelectorAll(arguments[0] + ' tbody tr')]"
            ".filter(row => !row.hidden).map(row => row.cells[arguments[1]].textContent.trim())"
        )
        return self.run(script, table, number)

    def saved(self, selector: str, name: str) -> bytes:
        """The file that a button saves."""
        path = self.downloads / name
        path.unlink(missing_ok=True)
        self.find(selector).click()
        wait_for(path.exists)
        return path.read_bytes()

    def emulate(self, scheme: str = "light", media: str = "screen", width: int = 1000) -> None:
        """Light or dark, screen or print, and how wide the window is, in CSS pixels."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": media, "features": features}
        )
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def printed(self) -> bytes:
        """The page as PDF."""
        given = self.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
        return base64.b64decode(given["data"])

    def defects(self) -> list[str]:
        """What axe-core finds serious or critical, by rule and first element."""
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(r => done(r.violations), e => done([{impact: 'critical', id: String(e), nodes: [{}]}]))"
        )
        return [
            f"{entry['id']}: {entry['nodes'][0].get('html')}"
            for entry in found
            if entry["impact"] in ("serious", "critical")
        ]

    def requests(self) -> set[str]:
        """Addresses that the page has asked for since the last call, but files, data and those of the browser itself."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        asked = {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }
        return {url for url in asked if not url.startswith(("file:", "data:", "blob:", "chrome:"))}

    def complaints(self) -> list[str]:
        """What stands in the console: errors, and what the security policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.02)


@contextmanager
def started(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile, which saves files in a folder of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    downloads = folder / "downloads"
    for argument in (*QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    saving = {
        "download.default_directory": str(downloads),
        "profile.default_content_setting_values.automatic_downloads": 1,  # a script clicks
    }
    options.add_experimental_option("prefs", saving)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Page(driver, downloads)
    finally:
        driver.quit()
