"""Every block of commands of the pages that can be followed says whether it is run, and why not."""

from __future__ import annotations

from unittest import TestCase

from tests.harness.document_blocks import Block, blocks, pages

MARKS = ("run", "file", "output", "not run")


class MarkTests(TestCase):
    """``make documents`` runs them."""

    def test_every_block_of_commands_has_a_mark(self) -> None:
        for page in pages():
            for block in blocks(page.read_text("utf-8")):
                kind = block.mark.partition(":")[0]
                if block.language == "sh":
                    self.assertIn(kind.partition(" if ")[0], ("run", "not run"), f"{page.name}: {block.text}")
                if kind in ("not run", "file"):
                    self.assertTrue(block.argument, f"{page.name}: {block.text}")

    def test_blocks_are_read_with_their_marks(self) -> None:
        text = "a\n\n<!-- run: serve until UP -->\n```sh\nx\n```\n\n```text\ny\n```\n"
        self.assertEqual(
            [Block("run: serve until UP", "sh", "x\n"), Block("", "text", "y\n")], list(blocks(text))
        )
