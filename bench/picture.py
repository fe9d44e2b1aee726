"""
``python -m bench.picture NOTES PICTURE.svg``: bars of what ``bench.today --notes NOTES`` has measured.

Each case has a row of two panels: requests a second, of which more are better, and CPU time of each request,
of which less is. The picture brings its own background and colours, for light and for dark pages.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from attrs import frozen

from bench.today.contest import OWN
from bench.today.notes import CASES, Notes, read_notes

WIDTH, MARGIN, NAMES = 880, 16, 116
PANEL = (WIDTH - 2 * MARGIN - NAMES - 24) // 2
VALUE = 62
"""Pixels right of the longest bar, for its number."""
BAR, STEP, TITLE = 14, 19, 34
STYLE = """
.page { fill: #ffffff } text { font: 12px system-ui, sans-serif; fill: #1f2933 }
.title { font-size: 13px; font-weight: 600 } .faint { fill: #616e7c }
.own { fill: #1d5fc4 } .other { fill: #a9b4c0 } .name-own { font-weight: 600 }
@media (prefers-color-scheme: dark) {
 .page { fill: #14181d } text { fill: #e4e7eb } .faint { fill: #9aa5b1 }
 .own { fill: #63a4ff } .other { fill: #4c5865 }
}
"""


@frozen
class Bars:
    """
    A panel: a value for each server, in the same unit.

    :param names: all servers of the case, in order; one without a value has no bar.
    """

    names: Sequence[str]
    values: dict[str, float]

    def draw(self, left: int, top: int) -> list[str]:
        """Return the bars and their numbers."""
        longest = max(self.values.values(), default=0.0)
        lines = []
        for place, name in enumerate(self.names):
            value = self.values.get(name)
            if value is None:
                continue
            length = max(1.0, (PANEL - VALUE) * value / longest) if longest else 1.0
            y = top + place * STEP
            kind = "own" if name == OWN else "other"
            lines.append(
                f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
            )
            lines.append(f'<text x="{left + length + 6:.1f}" y="{y + 11}">{value:,.0f}</text>')
        return lines


def draw(notes: Notes, connections: int) -> str:
    """Return the picture of the medians at so many connections."""
    cells = notes.cells(connections)
    cases = [case for case in CASES if any(place[0] == case for place in cells)]
    y, lines = MARGIN + 14, []
    head = f"{connections} connections, one worker each, {notes.machine.split(',')[0]}"
    lines.append(f'<text class="title" x="{MARGIN}" y="{y}">{escape(head)}</text>')
    y += 12
    for case in cases:
        names = [name for name in notes.entries if (case, name) in cells]
        found = {name: cells[case, name] for name in names}
        left, right = MARGIN + NAMES, MARGIN + NAMES + PANEL + 24
        y += TITLE
        lines += [
            f'<text class="title" x="{MARGIN}" y="{y - 8}">{escape(CASES[case])}</text>',
            f'<text class="faint" x="{left + 60}" y="{y - 8}">requests/s, more is better</text>',
            f'<text class="faint" x="{right}" y="{y - 8}">CPU us of each, less is better</text>',
        ]
        for place, name in enumerate(names):
            kind = "name-own" if name == OWN else "name"
            text_y = y + place * STEP + 11
            lines.append(f'<text class="{kind}" x="{MARGIN}" y="{text_y}">{escape(name)}</text>')
        lines += Bars(names, {name: cell.rate for name, cell in found.items()}).draw(left, y)
        lines += Bars(names, {name: cell.cpu * 1e6 for name, cell in found.items()}).draw(right, y)
        y += len(names) * STEP
    height = y + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(head)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}"/>',
            *lines,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Draw a file's figures into another file."""
    parser = argparse.ArgumentParser(prog="python -m bench.picture", description=__doc__)
    parser.add_argument("notes", type=Path, help="what bench.today has written with --notes")
    parser.add_argument("picture", type=Path, help="an SVG file")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    options.picture.write_text(draw(read_notes(options.notes), options.connections))


if __name__ == "__main__":
    main()
