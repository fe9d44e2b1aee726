"""Starts that fail: each says why, in words, and leaves nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.faults import few_descriptors
from tests.harness.server_process import ServerProcess

pytestmark = pytest.mark.xdist_group("server faults")


def fails_to_start(beginning: str, said: str) -> None:
    """
    Start a server, and look at what it says and leaves.

    :param beginning: what its program does first.
    :param said: a regular expression.
    """
    with TemporaryDirectory(prefix="modelserver-faults-") as name:
        server = ServerProcess(Path(name))
        server.program = ("-c", beginning + server.program[-1])
        server.store.mkdir()
        with pytest.raises(AssertionError, match=said):
            server.start()
        assert list(server.temporary.iterdir()) == []


def test_a_start_with_too_few_descriptors_says_what_it_needs() -> None:
    """With 64, no worker could start as soon as clients have opened connections."""
    fails_to_start(few_descriptors(64), r"may open 64 files.*needs 320.*ulimit -n 320")


def test_a_start_that_fails_half_way_leaves_nothing() -> None:
    """With 16 descriptors not even the parts of a server can be made."""
    fails_to_start(few_descriptors(16), r"modelserver: .*(Too many open files|ulimit -n)")


def test_a_start_in_a_folder_that_is_gone_says_so() -> None:
    """In words, not by a traceback."""
    gone = "import os, sys; del sys.path[0]; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
    fails_to_start(gone, r"modelserver: the folder in which it was started")
