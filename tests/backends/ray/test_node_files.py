"""Models on nodes are kept by what is in them, checked, and bounded."""

from __future__ import annotations

import io
import os
import tarfile
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.model_files import PackedFiles, pack_folder
from modelserver.backends.ray.node_files import FileCache, FilesInvalid, is_shared


class FilesCase(SynchronousTestCase):
    """A server's folder and a node's."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.cache = FileCache(self.root / "cache", 1 << 30)

    def model(self, name: str, **files: str) -> Path:
        """A folder with files."""
        folder = self.root / name
        for path, content in files.items():
            target = folder / path.replace("__", "/").replace("_py", ".py")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return folder

    def packed(self, folder: Path) -> PackedFiles:
        """What a node is sent of a folder."""
        return pack_folder(folder, self.root / f"{folder.name}.tar")

    def fetch(self, packed: PackedFiles, cache: FileCache | None = None) -> Path | None:
        """Have a cache take it, in pieces."""
        cache = cache or self.cache
        fetch = cache.begin(packed.digest, packed.size)
        assert fetch is not None
        data = packed.path.read_bytes()
        for at in range(0, len(data), 1000):
            fetch.take(memoryview(data)[at : at + 1000])
        fetch.finish()
        cache.give_up(packed.digest)
        return cache.find(packed.digest)


class PackTests(FilesCase):
    """What is packed."""

    def test_same_files_have_the_same_hash_whenever_they_were_written(self) -> None:
        first, second = self.model("a", handler_py="x", sub__data="y"), self.model("b", sub__data="y")
        (second / "handler.py").write_text("x")
        os.utime(second / "handler.py", (1, 1))
        self.assertEqual(self.packed(first).digest, self.packed(second).digest)

    def test_other_content_under_the_same_name_has_another(self) -> None:
        first, second = self.model("a", handler_py="x"), self.model("b", handler_py="y")
        self.assertNotEqual(self.packed(first).digest, self.packed(second).digest)

    def test_links_are_packed_as_what_they_lead_to(self) -> None:
        folder = self.model("a", handler_py="x")
        (self.root / "weights").write_text("w")
        (folder / "weights.pt").symlink_to(self.root / "weights")
        found = self.fetch(self.packed(folder))
        assert found is not None
        self.assertEqual("w", (found / "weights.pt").read_text())
        self.assertFalse((found / "weights.pt").is_symlink())


class CacheTests(FilesCase):
    """What is kept."""

    def test_files_arrive_as_they_were(self) -> None:
        folder = self.model("a", handler_py="x", sub__data="y" * 5000)
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "empty").mkdir()
        self.assertIsNone(self.cache.find(self.packed(folder).digest))
        found = self.fetch(self.packed(folder))
        assert found is not None
        self.assertEqual("y" * 5000, (found / "sub" / "data").read_text())
        self.assertTrue(os.access(found / "run.sh", os.X_OK))
        self.assertTrue((found / "empty").is_dir())

    def test_one_agent_fetches_and_the_other_waits_for_it(self) -> None:
        packed = self.packed(self.model("a", handler_py="x"))
        other = FileCache(self.cache.folder, 1 << 30)
        fetch = self.cache.begin(packed.digest, packed.size)
        self.assertIsNotNone(fetch)
        self.assertIsNone(other.find(packed.digest))
        self.assertIsNone(other.begin(packed.digest, packed.size))
        assert fetch is not None
        fetch.take(memoryview(packed.path.read_bytes()))
        fetch.finish()
        self.cache.give_up(packed.digest)
        self.assertIsNotNone(other.find(packed.digest))
        self.assertIsNone(FileCache(self.cache.folder, 1).begin(packed.digest, packed.size))

    def test_what_is_not_announced_is_refused_and_leaves_nothing(self) -> None:
        packed = self.packed(self.model("a", handler_py="x"))
        data = bytearray(packed.path.read_bytes())
        data[600] ^= 1
        fetch = self.cache.begin(packed.digest, packed.size)
        assert fetch is not None
        fetch.take(memoryview(data))
        self.assertRaises(FilesInvalid, fetch.finish)
        self.assertEqual([f"{packed.digest}.lock"], os.listdir(self.cache.folder))

    def test_more_than_was_announced_is_refused(self) -> None:
        fetch = self.cache.begin("0" * 64, 10)
        assert fetch is not None
        fetch.take(memoryview(b"x" * 10))
        self.assertRaises(FilesInvalid, fetch.take, memoryview(b"x"))
        fetch.give_up()

    def test_members_that_lead_elsewhere_are_refused(self) -> None:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        for member in (tarfile.TarInfo("../outside"), tarfile.TarInfo("/absolute"), link):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as packed:
                packed.addfile(member)
            path = self.root / "hostile.tar"
            path.write_bytes(content.getvalue())
            hostile = PackedFiles(path, sha256(content.getvalue()).hexdigest(), len(content.getvalue()))
            with self.assertRaises(FilesInvalid):
                self.fetch(hostile)
            self.cache.give_up(hostile.digest)
        self.assertFalse((self.cache.folder / "outside").exists())

    def test_no_digest_is_no_path(self) -> None:
        self.assertRaises(FilesInvalid, self.cache.find, "../../etc")

    def test_longest_unused_leave_for_new_ones_but_not_those_in_use(self) -> None:
        small = FileCache(self.cache.folder, 30_000)
        used = self.packed(self.model("used", data="u" * 9000))
        self.assertIsNotNone(self.fetch(used, small))
        idle = FileCache(self.cache.folder, 30_000)
        old = self.packed(self.model("old", data="o" * 9000))
        found = self.fetch(old, idle)
        assert found is not None
        idle.give_up(old.digest)
        for name in (used.digest, old.digest):
            os.utime(self.cache.folder / name, (1, 1))
        new = self.packed(self.model("new", data="n" * 9000))
        self.assertIsNotNone(self.fetch(new, FileCache(self.cache.folder, 25_000)))
        self.assertFalse(found.exists())
        self.assertTrue((self.cache.folder / used.digest).is_dir())

    def left_by_a_dead_agent(self, packed: PackedFiles) -> Path:
        """What is there of a model when the agent was killed that unpacked it."""
        left = self.cache.folder / f"unpacking-{packed.digest}"
        left.mkdir(parents=True)
        (left / "data").write_text("d" * 9000)
        return left

    def test_what_a_killed_agent_has_left_leaves_for_new_ones(self) -> None:
        left = self.left_by_a_dead_agent(self.packed(self.model("dead", data="d" * 9000)))
        new = self.packed(self.model("new", data="n" * 9000))
        self.assertIsNotNone(self.fetch(new, FileCache(self.cache.folder, 25_000)))
        self.assertFalse(left.exists())

    def test_what_is_being_unpacked_does_not(self) -> None:
        packed = self.packed(self.model("busy", data="b" * 9000))
        self.assertIsNotNone(self.cache.begin(packed.digest, packed.size))
        left = self.left_by_a_dead_agent(packed)
        new = self.packed(self.model("new", data="n" * 9000))
        self.assertIsNotNone(self.fetch(new, FileCache(self.cache.folder, 25_000)))
        self.assertTrue(left.exists())

    def test_model_whose_agent_was_killed_is_fetched_anew(self) -> None:
        packed = self.packed(self.model("a", handler_py="x"))
        left = self.left_by_a_dead_agent(packed)
        found = self.fetch(packed)
        assert found is not None
        self.assertEqual(["handler.py"], os.listdir(found))
        self.assertFalse(left.exists())


class ProbeTests(FilesCase):
    """Whether a node sees the server's files."""

    def test_file_is_known_by_its_content(self) -> None:
        path = self.root / "shared"
        path.write_bytes(b"this run")
        digest = sha256(b"this run").hexdigest()
        self.assertTrue(is_shared(str(path), digest))
        self.assertFalse(is_shared(str(path), sha256(b"another run").hexdigest()))
        self.assertFalse(is_shared(str(self.root / "nowhere"), digest))
