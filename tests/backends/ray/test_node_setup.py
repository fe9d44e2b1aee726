"""What is brought together before a worker starts on a node."""

from __future__ import annotations

from threading import Event

from modelserver.backends.ray.node_files import Fetch, FileCache
from modelserver.backends.ray.node_setup import NodeSetup
from tests.backends.ray.test_node_files import FilesCase


class SlowFetch(Fetch):
    """Unpacks when the test lets it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # as they came
        self.may_go_on = Event()

    def finish(self) -> None:
        """Wait."""
        self.may_go_on.wait(10)
        super().finish()


class SlowCache(FileCache):
    """Unpacks when the test lets it."""

    fetch: SlowFetch

    def begin(self, digest: str, size: int) -> Fetch | None:
        """Take files, and unpack them later."""
        found = super().begin(digest, size)
        assert found is not None
        found.give_up()
        self.fetch = SlowFetch(self.folder, digest, size)
        return self.fetch


class NodeSetupTests(FilesCase):
    """A worker that is ended before its process was started."""

    def setUp(self) -> None:
        super().setUp()
        self.packed_model = self.packed(self.model("a", handler_py="x"))
        digest, size = self.packed_model.digest, self.packed_model.size
        self.slow = SlowCache(self.cache.folder, 1 << 30)
        self.setup = NodeSetup(self.slow, lambda kind, document: None)
        self.setup.begin({"load": {"folder": "/not/here"}, "probe": {}})
        self.setup.offered({"digest": digest, "size": size})
        self.assertIsNone(self.setup.advance())

    def test_files_that_are_being_unpacked_are_no_others_to_unpack(self) -> None:
        digest, size = self.packed_model.digest, self.packed_model.size
        self.setup.arrived(memoryview(self.packed_model.path.read_bytes()), True)
        self.setup.end()
        self.assertIsNone(self.cache.begin(digest, size))
        self.slow.fetch.may_go_on.set()
        unpacking = self.setup._unpacking
        assert unpacking is not None
        unpacking.join(10)
        self.assertEqual("x", (self.cache.folder / digest / "handler.py").read_text())

    def test_files_that_have_not_come_may_be_fetched_by_others(self) -> None:
        self.setup.end()
        self.assertIsNotNone(self.fetch(self.packed_model))
