"""A server's folders go with it, and those of a killed one at the next start."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.run_folders import RunFolders, sweep_folders


class RunFoldersTests(SynchronousTestCase):
    """Locks tell what is alive."""

    def setUp(self) -> None:
        self.parent = Path(self.mktemp())
        self.parent.mkdir()

    def left(self) -> list[str]:
        """Everything in the folder for temporary files."""
        return sorted(str(path.relative_to(self.parent)) for path in self.parent.rglob("*"))

    def add_model(self, folders: RunFolders, prefix: str = "") -> Path:
        """A folder with a file, as an archive that is unpacked, or half unpacked."""
        model = folders.models / f"{prefix}{folders.token}0123"
        model.mkdir()
        (model / "handler.py").touch()
        return model

    def die(self, folders: RunFolders) -> None:
        """Lose the locks as a process does that is killed."""
        os.close(folders._lock)
        assert folders._shared is not None
        os.close(folders._shared)

    def test_archives_are_where_the_peers_have_them(self) -> None:
        folders = RunFolders.take(self.parent)
        self.assertTrue(folders.is_usual)
        self.assertEqual(folders.models, self.parent / "models")
        self.assertEqual(folders.models.stat().st_mode & 0o777, 0o700)
        folders.give_back()

    def test_all_is_given_back(self) -> None:
        folders = RunFolders.take(self.parent)
        self.add_model(folders)
        self.add_model(folders, ".")
        folders.give_back()
        self.assertEqual(self.left(), [])

    def test_another_servers_folders_stay(self) -> None:
        first, second = RunFolders.take(self.parent), RunFolders.take(self.parent)
        model = self.add_model(second)
        first.give_back()
        self.assertEqual(sweep_folders(self.parent), [])
        self.assertTrue((model / "handler.py").exists())
        second.give_back()
        self.assertEqual(self.left(), [])

    def test_a_killed_servers_folders_are_swept(self) -> None:
        killed, alive = RunFolders.take(self.parent), RunFolders.take(self.parent)
        models = [self.add_model(killed), self.add_model(killed, ".")]
        kept = self.add_model(alive)
        self.die(killed)
        self.assertEqual(set(sweep_folders(self.parent)), {killed.private, *models})
        self.assertTrue(kept.exists())
        alive.give_back()
        self.assertEqual(self.left(), [])

    def test_what_is_not_ours_is_not_swept(self) -> None:
        for name in ("modelserver-abcdefgh", "modelserver-tls-0123", "other", "models/c3dad669cfa64e20"):
            (self.parent / name).mkdir(parents=True)
        (self.parent / "modelserver-0123456789abcdef").symlink_to(self.parent / "other")
        before = self.left()
        self.assertEqual(sweep_folders(self.parent), [])
        folders = RunFolders.take(self.parent)
        folders.give_back()
        self.assertEqual(self.left(), before)

    def test_a_folder_that_others_can_write_into_is_not_used(self) -> None:
        (self.parent / "models").mkdir()
        (self.parent / "models").chmod(0o777)
        folders = RunFolders.take(self.parent)
        self.assertFalse(folders.is_usual)
        self.assertEqual(folders.models, folders.private)
        folders.give_back()
        self.assertEqual(self.left(), ["models"])

    def test_a_link_in_its_place_is_not_used(self) -> None:
        (self.parent / "other").mkdir()
        (self.parent / "models").symlink_to("other")
        folders = RunFolders.take(self.parent)
        self.assertFalse(folders.is_usual)
        folders.give_back()
        self.assertEqual(self.left(), ["models", "other"])

    def test_no_folder_to_sweep(self) -> None:
        self.assertEqual(sweep_folders(self.parent / "absent"), [])
