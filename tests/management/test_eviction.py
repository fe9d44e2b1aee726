"""Models that leave when memory is short, and come again when they are asked."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from modelserver.core.shortage import MemoryShort
from modelserver.devices import HOST
from modelserver.management.requests import ScaleRequest
from modelserver.management.snapshots.format import parse_snapshot, render_snapshot, take_snapshot
from modelserver.spec import VersionDescription, WorkerFailure
from tests.harness.loading import LoadingCase
from tests.harness.memory import GUESS

SIZE = GUESS // 2


class EvictionCase(LoadingCase):
    """Room for two workers of what each model is measured to take, once it was."""

    limit = 2 * GUESS

    def setUp(self) -> None:
        super().setUp()
        for name in "abcd":
            self.on.add_model(f"{name}.mar", name)
            self.sizes[name] = SIZE
            self.know(f"{name}.mar")
        for name in "abcd":  # each is measured once
            self.serve(name)
        self.memory.limits[HOST] = 2 * SIZE
        self.memory.look()
        self.on.stage.turn()

    def use(self, name: str) -> None:
        """Be served, and let a second pass."""
        self.serve(name)
        self.on.stage.clock.pump([0.25] * 4)

    @property
    def present(self) -> str:
        return "".join(name for name in "abcd" if self.state(name) == "loaded")

    def describe(self, name: str) -> VersionDescription:
        return self.successResultOf(Deferred.fromCoroutine(self.on.management.describe(name)))


class LeavingTests(EvictionCase):
    """Requests for four models, of which two fit."""

    def test_the_one_that_was_not_used_for_longest_leaves_and_comes_again(self) -> None:
        for name, present in (("a", "a"), ("b", "ab"), ("a", "ab"), ("c", "ac"), ("a", "ac"), ("b", "ab")):
            self.use(name)
            self.assertIn(present, self.present)
        self.assertLessEqual(len(self.present), 2)
        described = self.describe("c")
        assert described.presence is not None
        memory = described.memory[HOST]
        self.assertEqual(described.presence.value, "unloaded")
        self.assertEqual((memory.expected, memory.reserved), (SIZE, 2 * SIZE))

    def test_its_template_goes_its_files_stay(self) -> None:
        files = self.on.left_on_disk()
        self.use("a")
        self.use("b")
        self.use("c")
        self.assertIn(("a", "1.0"), self.on.stage.backend.retired)
        self.assertEqual(self.on.left_on_disk(), files)

    def test_a_request_that_races_with_the_end_is_not_lost(self) -> None:
        self.use("a")
        self.use("b")
        leaver = next(worker for worker in self.workers if worker.spec.version.name == "a")
        leaver.ends_when_told = False
        asked = self.ask("c")
        self.assertTrue(leaver.is_stopping)
        raced = self.ask("a")  # its worker is ending; it is loaded again when there is room
        self.assertEqual((asked.errors, raced.errors), ([], []))
        leaver.exit(WorkerFailure("exit", 0.0, exit_code=0))
        for _ in range(4):
            self.on.load_all()
            self.answer_all()
        self.assertEqual((asked.bodies, raced.bodies), ([b"x"], [b"x"]))

    def test_where_all_are_busy_a_request_is_refused_with_the_numbers(self) -> None:
        self.use("a")
        self.use("b")
        busy = [self.ask("a"), self.ask("b")]
        (error,) = self.ask("c").errors
        assert isinstance(error, MemoryShort)
        self.assertEqual((error.needed, error.reserved, error.limit), (SIZE, 2 * SIZE, 2 * SIZE))
        self.assertIn(("c", "1.0", "no_memory"), self.loading.outcomes)
        self.answer_all()
        self.assertEqual([each.bodies for each in busy], [[b"x"], [b"x"]])
        self.serve("c")

    def test_registrations_and_scales_meet_the_same_limit(self) -> None:
        self.use("a")
        self.use("b")
        busy = [self.ask("a"), self.ask("b")]
        self.on.add_model("e.mar", "e")
        self.failureResultOf(self.start("e.mar", 1), MemoryShort)
        self.assertFalse(self.on.registry.has("e"))
        scaled = Deferred.fromCoroutine(self.on.management.scale(ScaleRequest("c", minimum=1)))
        self.failureResultOf(scaled, MemoryShort)
        self.answer_all()
        self.assertEqual(len(busy), 2)

    def test_one_that_the_api_has_registered_comes_again_as_it_was(self) -> None:
        self.on.add_model("e.mar", "e")
        self.sizes["e"] = SIZE // 2
        self.memory.limits[HOST] = 4 * GUESS
        self.register("e.mar", workers=1)
        scaled = self.scale("e", minimum=2, maximum=3)
        self.on.load_all()
        self.successResultOf(scaled)
        self.assertEqual(self.state("e"), "")
        self.memory.limits[HOST] = 2 * SIZE
        self.use("a")
        self.use("b")
        self.assertEqual(self.state("e"), "unloaded")
        self.serve("e")
        pool = self.version("e").pool
        self.assertEqual((pool.ready, pool.maximum, self.state("e")), (2, 3, ""))
        self.assertFalse(pool.waking.is_open, "scaled to none it stays away, as ever")

    def test_a_pinned_one_stays(self) -> None:
        self.memory.limits[HOST] = 4 * GUESS
        self.on.add_model("e.mar", "e", config="pinned: true\n")
        self.sizes["e"] = SIZE
        self.register("e.mar", workers=1)
        self.memory.limits[HOST] = 2 * SIZE
        for name in "abcab":
            self.use(name)
        self.assertEqual((self.version("e").pool.ready, len(self.present)), (1, 1))

    def test_memory_that_cannot_be_read_is_no_limit(self) -> None:
        def unreadable(pids: object) -> dict[int, int]:
            raise OSError("Permission denied")

        self.watch.shares = unreadable
        self.on.stage.clock.pump([1, 1])
        for name in "abcd":
            self.use(name)
        self.assertEqual(self.present, "abcd")
        self.assertEqual(self.describe("a").memory, {})

    def test_snapshots_tell_what_was_not_in_memory(self) -> None:
        self.use("a")
        descriptions = [self.describe(name) for name in "ac"]
        snapshot = parse_snapshot(render_snapshot(take_snapshot("x", 1.0, descriptions)))
        kept = {name: versions["1.0"] for name, versions in snapshot.models.items()}
        self.assertEqual((kept["a"].is_on_request, kept["c"].is_on_request), (False, True))
        self.assertEqual((kept["c"].min_workers, kept["c"].max_workers), (1, 1))


class WaitingTests(EvictionCase):
    """``memory_shortage=wait``."""

    waits = True

    def test_a_request_waits_until_another_model_is_idle(self) -> None:
        self.use("a")
        self.use("b")
        busy, waiting = [self.ask("a"), self.ask("b")], self.ask("c")
        self.on.stage.clock.advance(1)
        self.assertEqual(waiting.reasons, [])
        self.answer_all()
        self.on.stage.clock.pump([0.25, 0.25])
        self.on.load_all()
        self.answer_all()
        self.assertEqual(waiting.bodies, [b"x"])
        self.assertEqual([each.bodies for each in busy], [[b"x"], [b"x"]])

    def test_its_own_time_ends_the_wait_and_nobody_leaves_for_it(self) -> None:
        self.use("a")
        self.use("b")
        busy = [self.ask("a"), self.ask("b")]
        waiting = self.ask("c", timeout=2.0)
        self.on.stage.clock.pump([1, 1, 0.1])
        self.assertEqual(len(waiting.errors), 1)
        self.answer_all()
        self.on.stage.clock.pump([0.25, 0.25])
        self.assertEqual([each.bodies for each in busy], [[b"x"], [b"x"]])
        self.assertEqual(self.state("c"), "unloaded")
