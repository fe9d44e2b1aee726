"""Which lines of a server somebody sees who writes a handler."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.cli.project.log_lines import HANDLER, REQUESTS, DevelopmentLines

LINES = DevelopmentLines(Path("/home/me/words"))
UNPACKED = "/tmp/models/c4eddc742a1801d14e4ae86d374b4f69/words"


def shown(source: str, text: str, level: str = "info") -> str | None:
    """What is shown of a line."""
    found = LINES.shown(f"2026-11-30T01:38:13+0000 [{source}#{level}] {text}")
    return None if found is None else found.plain


class DevelopmentLineTests(SynchronousTestCase):
    """Lines in, lines out."""

    def test_what_the_handler_prints(self) -> None:
        self.assertEqual("loading [x#y] now", shown(HANDLER, "loading [x#y] now"))

    def test_what_every_worker_prints_is_left_out(self) -> None:
        for text in ("[PID]17", "Torch worker started."):
            self.assertIsNone(shown(HANDLER, text))

    def test_requests_but_not_those_of_this_program(self) -> None:
        line = "POST /predictions/{model_name} 200 9.0 ms: queue 7.2 ms"
        self.assertEqual(line, shown(REQUESTS, line))
        self.assertIsNone(shown(REQUESTS, "PUT /models/{model_name} 200 5.6 ms"))

    def test_failed_requests_are_red(self) -> None:
        for status, style in ((200, "green"), (503, "red"), (404, "red")):
            found = LINES.shown(f"x [{REQUESTS}#info] POST /predictions/{{model_name}} {status} 1.0 ms")
            assert found is not None
            self.assertEqual(style, found.style)

    def test_of_the_server_only_what_is_wrong(self) -> None:
        self.assertIsNone(shown("modelserver.server.service", "Listening on http://127.0.0.1:1"))
        self.assertEqual("no room", shown("modelserver.server.service", "no room", "warn"))
        self.assertIsNone(shown("modelserver.server.service", "allowed_urls is not set: ...", "warn"))

    def test_lines_without_a_head(self) -> None:
        found = LINES.shown("Segmentation fault")
        assert found is not None
        self.assertEqual("Segmentation fault", found.plain)

    def test_paths_are_those_of_the_project_and_boxes_stay_in_line(self) -> None:
        self.assertEqual("/home/me/words/handler.py:3", shown(HANDLER, f"{UNPACKED}/handler.py:3"))
        for edge in ("│", " │ │"):
            line = f"│ {UNPACKED}/handler.py:3 in handle".ljust(100) + edge
            told = shown(HANDLER, line)
            assert told is not None
            self.assertEqual((len(line), True), (len(told), told.endswith(edge)))
