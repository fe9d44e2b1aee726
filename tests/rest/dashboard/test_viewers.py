"""Open pages: one state a second for all, and none of them can take more than its share."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rest.dashboard.viewers import LONGEST_UNREAD, MOST_VIEWERS
from tests.harness.dashboard import DashboardStage, Visitor


class ViewersTests(SynchronousTestCase):
    """Streams that begin, go on and end."""

    def setUp(self) -> None:
        self.on = DashboardStage()
        self.on.add("noop")
        self.taken = 0
        figures = self.on.viewers.sources.versions

        def count() -> object:
            self.taken += 1
            return figures()

        object.__setattr__(self.on.viewers.sources, "versions", count)

    def names(self, page: Visitor) -> list[str]:
        return [name for name, _ in page.events()]

    def test_without_a_page_nothing_is_made(self) -> None:
        self.on.stage.clock.pump([1.0] * 30)
        self.assertEqual(self.taken, 0)

    def test_one_state_a_second_for_all(self) -> None:
        pages = [self.on.watch() for _ in range(5)]
        self.assertEqual(self.taken, 1)
        self.on.stage.clock.pump([1.0] * 3)
        self.assertEqual(self.taken, 4)
        for page in pages:
            self.assertEqual(self.names(page), ["state", "change", "change", "change"])
        self.assertEqual({page.answer().body[-50:] for page in pages}, {pages[0].answer().body[-50:]})

    def test_a_later_page_begins_with_the_state(self) -> None:
        self.on.watch()
        self.on.stage.clock.advance(1.0)
        later = self.on.watch()
        self.assertEqual(self.names(later), ["state"])
        self.on.stage.clock.advance(1.0)
        self.assertEqual(self.names(later), ["state", "change"])

    def test_after_the_last_page_nothing_is_made(self) -> None:
        page = self.on.watch()
        page.leave()
        self.on.stage.turn()
        self.assertEqual(self.on.viewers.viewers, [])
        taken = self.taken
        self.on.stage.clock.pump([1.0] * 5)
        self.assertEqual(self.taken, taken)
        self.assertEqual(self.names(self.on.watch()), ["state"])

    def test_one_page_more_than_may_be_is_told_so(self) -> None:
        pages = [self.on.watch() for _ in range(MOST_VIEWERS)]
        refused = self.on.watch().answer()
        self.assertEqual((refused.status, refused.json()["type"]), (503, "ServiceUnavailableException"))
        self.assertIn("retry-after", refused.headers)
        pages[3].leave()
        self.on.stage.turn()
        self.assertEqual(self.on.watch().answer().status, 200)

    def pause(self, page: Visitor) -> None:
        assert page.transport.producer is not None
        page.transport.producer.pauseProducing()

    def resume(self, page: Visitor) -> None:
        assert page.transport.producer is not None
        page.transport.producer.resumeProducing()

    def test_a_page_that_does_not_read_gets_nothing_more_and_then_everything(self) -> None:
        page, other = self.on.watch(), self.on.watch()
        self.pause(page)
        self.on.stage.clock.pump([1.0] * 10)
        self.assertEqual(self.names(page), ["state"])
        self.assertEqual(len(self.names(other)), 11)
        self.resume(page)
        self.on.stage.clock.pump([1.0] * 2)
        self.assertEqual(self.names(page), ["state", "state", "change"])

    def test_a_page_that_never_reads_is_cut_off(self) -> None:
        page = self.on.watch()
        self.pause(page)
        self.on.stage.clock.pump([1.0] * int(LONGEST_UNREAD - 1))
        self.assertFalse(page.transport.is_aborted)
        self.on.stage.clock.pump([1.0] * 2)
        self.assertTrue(page.transport.is_aborted)

    def test_the_end_of_the_server_ends_the_streams(self) -> None:
        page = self.on.watch()
        self.on.viewers.stopService()
        self.on.stage.turn()
        self.assertTrue(page.transport.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(self.on.viewers.viewers, [])
        taken = self.taken
        self.on.stage.clock.pump([1.0] * 20)
        self.assertEqual(self.taken, taken)

    def test_an_error_of_ours_ends_the_streams_and_is_logged(self) -> None:
        page = self.on.watch()
        object.__setattr__(self.on.viewers.sources, "figures", lambda: 1 / 0)
        self.on.stage.clock.advance(1.0)
        self.assertTrue(page.transport.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
