"""Silence makes a node suspect, more of it ends it, a byte brings it back."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.link_watch import MOST_UNDER_WAY, LinkWatch


class LinkWatchTests(SynchronousTestCase):
    """Three seconds of silence, fifteen for the end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.probes: list[int] = []
        self.watch = LinkWatch(
            self.clock,
            silence=3.0,
            lost=15.0,
            probe=self.probes.append,
            went_silent=lambda: self.told.append("silent"),
            heard_again=lambda: self.told.append("heard"),
            gave_up=lambda: self.told.append("lost"),
        )
        self.watch.start()

    def advance(self, seconds: float) -> None:
        """Let time pass, a hundredth of a second at a time."""
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)

    def test_node_that_answers_is_never_suspect(self) -> None:
        for _ in range(600):
            self.advance(0.1)
            self.watch.heard()
        self.assertEqual([], self.told)
        self.assertGreaterEqual(len(self.probes), 4 * 60 // 3)

    def test_silence_makes_suspect_at_its_moment(self) -> None:
        self.advance(1.0)
        self.watch.heard()
        self.advance(2.98)
        self.assertEqual([], self.told)
        self.advance(0.04)
        self.assertEqual((["silent"], True), (self.told, self.watch.is_suspect))

    def test_byte_brings_it_back(self) -> None:
        self.advance(5.0)
        self.watch.heard()
        self.assertEqual((["silent", "heard"], False), (self.told, self.watch.is_suspect))
        self.advance(3.02)
        self.assertEqual(["silent", "heard", "silent"], self.told)

    def test_long_silence_ends_the_watch(self) -> None:
        self.advance(15.02)
        self.assertEqual(["silent", "lost"], self.told)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_probes_go_on_while_suspect(self) -> None:
        self.advance(4.0)
        before = len(self.probes)
        self.advance(3.0)
        self.assertGreaterEqual(len(self.probes) - before, 3)

    def test_stopped_watch_leaves_no_timer(self) -> None:
        self.watch.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_time_in_which_this_process_stood_still_is_no_silence(self) -> None:
        self.clock.advance(60.0)
        self.assertEqual([], self.told)
        self.advance(2.0)
        self.assertEqual([], self.told)
        self.advance(1.1)
        self.assertEqual(["silent"], self.told)

    def echo(self, way: float, there: float = 100.0) -> None:
        """A probe comes back after so many seconds; the node's clock is ``there`` seconds before ours."""
        self.watch._send()
        self.clock.advance(way / 2)
        at_node = self.clock.seconds() - there
        self.clock.advance(way / 2)
        self.watch.echoed(self.probes[-1], at_node)

    def test_way_is_measured_by_the_fastest_echoes(self) -> None:
        for way in (0.01, 0.002, 0.5):
            self.echo(way)
        self.assertLess(self.watch.round_trip or 1.0, 0.1)
        self.assertAlmostEqual(100.0, self.watch.offset or 0.0, places=6)

    def test_echo_of_no_probe_tells_nothing(self) -> None:
        self.watch.echoed(4711, 1.0)
        self.assertIsNone(self.watch.round_trip)

    def test_calls_under_way_fill_the_way(self) -> None:
        self.assertEqual(0, self.watch.calls_under_way(0.001))
        self.echo(0.004)
        rows = [(1.0, 0), (0.1, 1), (0.004, 2), (0.001, 5), (0.00001, MOST_UNDER_WAY)]
        self.assertEqual(rows, [(seconds, self.watch.calls_under_way(seconds)) for seconds, _ in rows])
