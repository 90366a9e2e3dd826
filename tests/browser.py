"""A real Chromium for the tests of pages. Where there is none they are left out with a loud word, and fail where CRAFT_TEST_SERVICES=required."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

DESK, PHONE = (1280, 900), (390, 844)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
)


def programs() -> tuple[str, str]:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser and driver:
        return browser, driver
    missing = "Chromium and its driver are missing (Debian: apt install chromium chromium-driver): the pages are not tested in a browser."
    if os.environ.get("CRAFT_TEST_SERVICES") == "required":
        pytest.fail(missing)
    pytest.skip(missing)


class Browser:
    """What a person does with a browser."""

    def __init__(self, base: str = "") -> None:
        self.base = base
        binary, driver = programs()
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        self.profile = tempfile.mkdtemp(prefix="craft-browser-")
        for flag in (*FLAGS, f"--user-data-dir={self.profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(10)
        self.wait = WebDriverWait(self.driver, 10, poll_frequency=0.05)
        self.size(DESK)

    def close(self) -> None:
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def size(self, size: tuple[int, int]) -> None:
        width, height = size
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", features=features)

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.base)

    def find(self, selector: str) -> WebElement:
        return self.wait.until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, selector)
        )

    def text(self, selector: str = "main") -> str:
        """What is to be read there; waits until there is something."""
        return self.wait.until(lambda _: self.find(selector).text, selector)

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            field = self.find(f"[name={name}]")
            field.clear()
            field.send_keys(value)

    def press(self, words: str, inside: str = "main") -> None:
        """The button or link that says so."""
        path = f".//*[self::button or self::a][contains(normalize-space(.), '{words}')]"
        self.find(inside).find_element(By.XPATH, path).click()

    def lands_on(self, path: str) -> None:
        self.wait.until(lambda _: self.path.split("?")[0] == path, self.path)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """What the console holds since it was last asked: refused by the policy, broken, missing."""
        log = self.driver.get_log("browser")
        return [
            entry["message"] for entry in log if entry["level"] in {"SEVERE", "WARNING"}
        ]

    def forget(self) -> None:
        self.cdp("Network.clearBrowserCookies")
        self.open("/healthz")
        self.run("localStorage.clear()")
        self.complaints()
