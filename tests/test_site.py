"""What is looked for in the built documentation: links, other hosts, words; the variables that it names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.harness.folder import FolderCase
from tests.harness.site import DOCS, found, problems, read

PACKAGE = DOCS.parent / "modelserver"


class SiteTests(FolderCase):
    """A site of two pages."""

    def setUp(self) -> None:
        super().setUp()
        read.cache_clear()
        (self.folder / "how").mkdir()
        self.write("how/to.html", '<h1 id="top">To</h1>')

    def write(self, name: str, text: str) -> None:
        """Make a page."""
        (self.folder / name).write_text(text)

    def wrong(self, text: str) -> list[str]:
        """What is wrong with a page of this content."""
        read.cache_clear()
        self.write("index.html", text)
        return list(problems(self.folder))

    def test_links_that_lead_somewhere(self) -> None:
        for link in (
            "how/to.html",
            "how/to.html#top",
            "#here",
            "https://example.org/x",
            "index.md",
            "conf.py",
        ):
            with self.subTest(link):
                self.assertEqual([], self.wrong(f'<a id="here" href="{link}">x</a>'))

    def test_links_that_lead_nowhere(self) -> None:
        for link in ("how/from.html", "how/to.html#end", "#there", "nobody.md"):
            with self.subTest(link):
                self.assertEqual(
                    [f"index.html: {link} leads nowhere"], self.wrong(f'<a id="here" href="{link}">x</a>')
                )

    def test_files_of_other_hosts(self) -> None:
        for text in (
            '<script src="//cdn.org/a.js"></script>',
            '<link rel="stylesheet" href="https://a.org/b.css">',
        ):
            with self.subTest(text):
                self.assertIn("is loaded from another host", self.wrong(text)[0])

    def test_a_search_finds_pages_by_their_words(self) -> None:
        index = {
            "docnames": ["a", "b"],
            "terms": {"max_batch_delai": 1, "max": [0, 1]},
            "titleterms": {"batch": 0},
        }
        (self.folder / "searchindex.js").write_text(f"Search.setIndex({json.dumps(index)})")
        self.assertEqual(["b"], found(self.folder, "max_batch_delay"))
        self.assertEqual(["a"], found(self.folder, "batch"))
        self.assertEqual([], found(self.folder, "delay"))


class VariableTests(FolderCase):
    """Variables of the environment that no key stands for."""

    def test_each_is_read_somewhere(self) -> None:
        sys.path.insert(0, str(DOCS))
        self.addCleanup(sys.path.remove, str(DOCS))
        from reference_calls import OTHER_VARIABLES  # type: ignore[import-not-found]  # it is beside the pages

        source = "".join(file.read_text("utf-8") for file in Path(PACKAGE).rglob("*.py"))
        for name, _ in OTHER_VARIABLES:
            self.assertIn(name, source)
