"""
A real browser for tests: Debian's Chromium and its driver, where they are installed.

``.ci/run`` installs them where it can; elsewhere the tests that need them are skipped, and say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
LONGEST_LOAD = 60
"""Seconds after which a page that is not there has failed."""


def missing() -> str | None:
    """Return what a browser test lacks on this machine, in a sentence; None: nothing."""
    try:
        import selenium  # noqa: F401  # only whether it is there matters
    except ImportError:
        return "selenium is not installed (pip install 'modelserver[test]')"
    for program in ("chromium", "chromedriver"):
        if which(program) is None:
            return f"{program} is not installed (apt-get install chromium chromium-driver)"
    return None


@contextmanager
def browser(width: int = 1280, height: int = 1400, is_dark: bool = False) -> Iterator[WebDriver]:
    """
    Run a browser with an empty profile, which talks to nobody but the pages it is sent to.

    :param is_dark: the system prefers dark colours.
    :raises SkipTest: there is a browser, but it does not start.
    """
    from selenium.common.exceptions import SessionNotCreatedException
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    # A short path: Chromium makes a socket in it, whose path may have 107 bytes, and ends where it has more.
    with TemporaryDirectory(prefix="browser-", dir="/tmp", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = str(which("chromium"))
        for option in (*_OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(str(which("chromedriver")), env={**os.environ, "TMPDIR": profile})
        try:
            driver = Chrome(options=options, service=service)
        except SessionNotCreatedException as error:
            raise SkipTest(
                f"Chromium does not start on this machine: {str(error).splitlines()[0]}"
            ) from error
        try:
            driver.set_page_load_timeout(LONGEST_LOAD)
            driver.set_script_timeout(LONGEST_LOAD)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def complaints(driver: WebDriver) -> list[str]:
    """Return what the console has had to say since the last call: errors, violations of the policy."""
    entries: list[dict[str, Any]] = driver.get_log("browser")
    return [str(entry["message"]) for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


def axe_script() -> Path | None:
    """Return the file of axe-core where somebody has put it (``AXE_CORE``), else None."""
    named = os.environ.get("AXE_CORE")
    return Path(named) if named and Path(named).is_file() else None
