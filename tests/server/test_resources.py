"""What a server takes from the system is given back, and its builders get what the settings leave."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import Settings
from modelserver.server.resources import Resources, Runtime


class ResourcesTests(SynchronousTestCase):
    """A folder, a pipe and shared memory, for as long as the server lives."""

    def test_all_is_given_back(self) -> None:
        parent = Path(self.mktemp())
        parent.mkdir()
        resources = Resources.take(Settings(temporary_folder=parent))
        (resources.folders.models / f"{resources.folders.token}model").mkdir()
        self.assertEqual(set(parent.iterdir()), {resources.folders.private, parent / "models"})
        resources.give_back()
        self.assertEqual(list(parent.iterdir()), [])
        for end in resources.lifeline:
            self.assertRaises(OSError, os.fstat, end)

    def test_nothing_is_left_where_something_is_refused(self) -> None:
        parent = Path(self.mktemp())
        parent.mkdir()

        def refuse() -> NoReturn:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(os, "pipe", refuse)
        self.assertRaises(OSError, Resources.take, Settings(temporary_folder=parent))
        self.assertEqual(list(parent.iterdir()), [])


class RuntimeTests(SynchronousTestCase):
    """What the reactor and the machine offer, as far as the settings let it be used."""

    def runtime(self, settings: Settings) -> Runtime:
        environment = {"SECRET": "x", "PATH": "/bin", "CUDA_VISIBLE_DEVICES": ""}
        return Runtime.of(settings, reactor, environment)  # type: ignore[arg-type]  # the global one

    def test_programs_do_not_see_hidden_variables(self) -> None:
        runtime = self.runtime(Settings(blacklist_env_vars="SEC.*"))
        self.assertNotIn("SECRET", runtime.program_environment)
        self.assertIn("SECRET", runtime.environment)

    def test_nothing_is_hidden_by_default(self) -> None:
        runtime = self.runtime(Settings())
        self.assertEqual(runtime.program_environment, runtime.environment)

    def test_no_more_gpus_than_there_are(self) -> None:
        self.assertEqual(self.runtime(Settings(number_of_gpu=8)).gpu_count, 0)
