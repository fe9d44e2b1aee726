"""What all tests share: a folder to run in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(scope="session", autouse=True)
def _working_folder() -> Iterator[None]:
    """Run in a folder of its own: trial's ``mktemp`` makes its folders where the process is."""
    before = os.getcwd()
    with TemporaryDirectory(prefix="modelserver-tests-") as folder:
        os.chdir(folder)
        yield
        os.chdir(before)
