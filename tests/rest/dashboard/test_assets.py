"""The files of the page keep the rules that its policy enforces."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rest.dashboard.assets import PAGE, load_assets
from tests.harness.source import LONGEST_FILE

VENDOR = ("uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE.txt")
LARGEST = 150_000
"""Bytes of all files together: a page with 500 models may take 300,000."""


class Collector(HTMLParser):
    """Collects the elements of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


class AssetTests(SynchronousTestCase):
    """What is served."""

    def setUp(self) -> None:
        self.assets = load_assets()
        self.texts = {name: asset.body.decode() for name, asset in self.assets.items()}
        self.own = {name: text for name, text in self.texts.items() if name not in VENDOR}
        collector = Collector()
        collector.feed(self.texts[PAGE])
        self.elements = collector.elements

    def test_everything_that_the_page_wants_is_there(self) -> None:
        wanted = set(re.findall(r"/dashboard/assets/([\w.]+)", self.texts[PAGE]))
        for text in self.own.values():
            wanted |= set(re.findall(r'from "\./([\w.]+)"', text))
        self.assertEqual(wanted - set(self.assets), set())
        self.assertEqual(set(self.assets) - wanted - {PAGE, "uPlot.LICENSE.txt"}, set())

    def test_nothing_is_inline(self) -> None:
        for tag, attributes in self.elements:
            self.assertNotEqual(tag, "style")
            self.assertFalse([name for name in attributes if name.startswith("on") or name == "style"], tag)
            if tag == "script":
                self.assertTrue((attributes["src"] or "").startswith("/dashboard/assets/"))

    def test_no_other_host_is_asked(self) -> None:
        for name, text in self.own.items():
            for address in re.findall(r"https?://[\w.]+", text):
                self.assertEqual(address, "http://www.w3.org", name)

    def test_text_never_becomes_markup(self) -> None:
        for name, text in self.own.items():
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text
            )
            self.assertEqual(found, [], name)
            self.assertEqual(re.findall(r"localStorage|sessionStorage|document\.cookie", text), [], name)

    def test_fields_have_labels(self) -> None:
        labelled = {attributes.get("for") for tag, attributes in self.elements if tag == "label"}
        for tag, attributes in self.elements:
            if tag in ("input", "select", "textarea"):
                self.assertIn(attributes["id"], labelled)

    def test_files_are_small(self) -> None:
        self.assertLess(sum(len(asset.body) for asset in self.assets.values()), LARGEST)
        for name, text in self.own.items():
            self.assertLess(len(text.splitlines()), LONGEST_FILE, name)

    def test_what_is_not_ours_has_its_licence_beside_it(self) -> None:
        self.assertIn("MIT License", self.texts["uPlot.LICENSE.txt"])
        self.assertIn("uPlot (v1.6.32)", self.texts["uPlot.iife.min.js"][:100])

    def test_another_byte_is_another_tag(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        tags = []
        for text in ("a", "b"):
            (folder / "x.js").write_text(text)
            (folder / "x.map").write_text(text)
            (asset,) = load_assets(folder).values()
            tags.append(asset.tag)
        self.assertNotEqual(*tags)
