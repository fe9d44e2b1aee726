"""What all tests share: a folder to run in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow at drawing examples and at running them; neither is a defect of a test.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(scope="session", autouse=True)
def _working_folder() -> Iterator[None]:
    """Run in a folder of its own: trial's ``mktemp`` makes its folders where the process is."""
    before = os.getcwd()
    with TemporaryDirectory(prefix="modelserver-tests-") as folder:
        os.chdir(folder)
        tempfile.tempdir = folder
        yield
        tempfile.tempdir = None
        os.chdir(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Try a test that uses real processes up to twice more: a neighbour may have had the processors.

    What is really broken fails each time; tests in memory are never tried again.
    """
    for item in items:
        if {"integration", "faults"} & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many tests needed a second try, and which: a test that needs it often hides a defect."""
    again = sorted({report.nodeid for report in terminalreporter.stats.get("rerun", ())})
    terminalreporter.write_line(f"tests that needed a second try: {len(again)}")
    for test in again:
        terminalreporter.write_line(f"  {test}")
