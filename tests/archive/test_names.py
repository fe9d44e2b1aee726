"""Names of models and versions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.names import is_name, is_shown

GOOD = (
    *(
        "resnet",
        "1.0-beta+7",
        "my model",
        "modèle",
        "team:model",
        "a+b",
        "_private",
        "-a",
        ".a",
        "...",
        "日本",
    ),
    *("x" * 255, "é" * 127, "a\\b", "a%2fb", 'a"b'),
)
BAD = (
    "",
    "/",
    "a/b",
    ".",
    "..",
    "a\n",
    "\x00",
    "\x7f",
    "\x9f",
    "a\u2028",
    "\u202ea",
    "x" * 256,
    "é" * 128,
    "\ud800",
)


class NameTests(SynchronousTestCase):
    """What TorchServe and MMS serve is a name, within limits."""

    def test_good_names(self) -> None:
        self.assertEqual([name for name in GOOD if not is_name(name)], [])

    def test_bad_names(self) -> None:
        self.assertEqual([name for name in BAD if is_name(name)], [])

    def test_texts_that_can_be_shown(self) -> None:
        self.assertEqual(
            [is_shown(text) for text in ("", "a/b", "..", "a\n", "\ud800")], [True] * 3 + [False] * 2
        )
