"""Error texts without what terminals act on."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from modelserver.protocol.plain_text import without_escapes

TEXTS = {
    "Parameter 'a' is missing": "Parameter 'a' is missing",
    "\x1b[0;31mred\x1b[0m and \x1b[38;2;1;2;3mblue\x1b[m": "red and blue",
    "\x1b]0;a title\x07text": "text",
    "\x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1b]0;without an end\nnext line": "\nnext line",
    "up\x1b[2A\x1b[2K\rover": "up\rover",
    "\x1bc\x1b(Breset": "reset",
    "\x9b1mbold": "bold",
    "cut \x1b[": "cut ",
    "cut \x1b": "cut ",
    "line\n\ttab grüß [0m": "line\n\ttab grüß [0m",
}


class PlainTextTests(TestCase):
    """``without_escapes``."""

    def test_what_goes_and_what_stays(self) -> None:
        for text, plain in TEXTS.items():
            with self.subTest(text):
                self.assertEqual(without_escapes(text), plain)

    @given(st.text(alphabet=st.sampled_from("\x1b\x9b\x9d[]0;m\\\x07\n a"), max_size=40))
    def test_no_escape_is_left_and_lines_stay(self, text: str) -> None:
        plain = without_escapes(text)
        self.assertFalse(set("\x1b\x9b\x9d") & set(plain))
        self.assertEqual(plain.count("\n"), text.count("\n"))
