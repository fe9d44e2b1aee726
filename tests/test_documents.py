"""Blocks of commands say whether they are run, and why not; links have a text and lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from unittest import TestCase
from urllib.parse import unquote

from tests.harness.document_blocks import CHECKOUT, DOCS, Block, blocks, pages

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


_FENCED = re.compile(r"^```.*?^```", re.M | re.S)
_LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)


def anchors(page: Path) -> set[str]:
    """Return the names that repositories and the site give to the headings of a page."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class LinkTests(TestCase):
    """What a reader of the files themselves sees, who has no site."""

    def links(self) -> Iterator[tuple[Path, str, str]]:
        """Return the page, the text and the target of every link within the checkout."""
        for page in (*pages(), CHECKOUT / "SECURITY.md", CHECKOUT / "SUPPORT.md"):
            for link in _LINK.finditer(_FENCED.sub("", page.read_text("utf-8"))):
                if "://" not in link["target"]:
                    yield page, link["text"], unquote(link["target"])

    def test_links_have_a_text(self) -> None:
        self.assertEqual([], [f"{page.name}: {target}" for page, text, target in self.links() if not text])

    def test_links_lead_somewhere(self) -> None:
        lost = []
        for page, _, target in self.links():
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            if path.is_relative_to(DOCS / "reference"):
                continue
            if not path.exists() or (anchor and anchor not in anchors(path)):
                lost.append(f"{page.name}: {target}")
        self.assertEqual([], lost)
