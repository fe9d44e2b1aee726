"""
Looks at the site that Sphinx has built: its links, what it would fetch from elsewhere, and its search.

``python -m tests.harness.site FOLDER [WORD ...]`` fails at a link that leads nowhere, at a file of another
host, and at a word that a search does not find.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from attrs import define, field

DOCS = Path(__file__).parents[2] / "docs"
_INDEX = re.compile(r"Search\.setIndex\((.*)\)", re.DOTALL)


@define
class Page(HTMLParser):
    """The names on a page, where its links lead, and which files it loads."""

    names: set[str] = field(factory=set)
    links: list[str] = field(factory=list)
    loads: list[str] = field(factory=list)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take what is of interest of one element."""
        told = {name: value or "" for name, value in attrs}
        self.names.update(filter(None, (told.get("id"), told.get("name"))))
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        if "src" in told:
            self.loads.append(told["src"])
        if tag == "link" and told.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(told.get("href", ""))


@cache
def read(file: Path) -> Page:
    """Read a page."""
    page = Page()
    page.feed(file.read_text("utf-8"))
    return page


def problems(site: Path) -> Iterator[str]:
    """Return what is wrong with the links of all pages; other hosts are not asked."""
    for file in sorted(site.rglob("*.html")):
        page, name = read(file), file.relative_to(site).as_posix()
        for link in page.links:
            if not urlsplit(link).scheme and not _leads_somewhere(site, file, link):
                yield f"{name}: {link} leads nowhere"
        for link in page.loads:
            if urlsplit(link).netloc:
                yield f"{name}: {link} is loaded from another host"


def _leads_somewhere(site: Path, file: Path, link: str) -> bool:
    parts = urlsplit(link)
    place = posixpath.normpath(posixpath.join(file.parent.relative_to(site).as_posix(), unquote(parts.path)))
    target = site / place if parts.path else file
    if target.is_dir():
        target = target / "index.html"
    if target.is_file():
        return not parts.fragment or target.suffix != ".html" or unquote(parts.fragment) in read(target).names
    # Files of the checkout are shown where the project is hosted.
    return (DOCS / place).exists()


def found(site: Path, word: str) -> Sequence[str]:
    """Return the pages that a search for a word finds, in any of its forms."""
    matched = _INDEX.search((site / "searchindex.js").read_text("utf-8"))
    assert matched is not None, "this is no index of Sphinx"
    index = json.loads(matched[1])
    # What ends in y is indexed with an i.
    begin = word.lower()[:-1] if word.endswith("y") else word.lower()
    terms: Mapping[str, int | list[int]] = {**index["terms"], **index["titleterms"]}
    numbers = [at for term, at in terms.items() if term.startswith(begin) and len(term) <= len(word)]
    pages = {number for at in numbers for number in ([at] if isinstance(at, int) else at)}
    return sorted(index["docnames"][number] for number in pages)


def main(words: Sequence[str]) -> int:
    """Look at a site; returns how many problems there are."""
    site = Path(words[0])
    wrong = list(problems(site))
    for word in words[1:]:
        pages = found(site, word)
        if pages:
            print(f"a search for {word} finds {', '.join(pages)}")
        else:
            wrong.append(f"a search for {word} finds nothing")
    print(
        "\n".join(wrong) if wrong else f"links and files of {len(list(site.rglob('*.html')))} pages are there"
    )
    return len(wrong)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
