"""Sources to pack, and what came of packing them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from modelserver.archive.pack import FolderPackRequest, PackRequest, pack
from modelserver.archive.packing import PackingFailed
from modelserver.archive.unpack import open_archive
from tests.harness.folder import FolderCase

MANIFEST = "MAR-INF/MANIFEST.json"


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, but the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).as_posix() != MANIFEST
    }


class PackCase(FolderCase):
    """A fresh folder with sources, and one to export to."""

    def setUp(self) -> None:
        super().setUp()
        self.out = self.folder / "out"
        self.out.mkdir()
        self.told: list[str] = []
        self.write("h.py", "handler")
        self.request = PackRequest(
            "m", "1.0", self.path("h.py"), export_path=self.out, created=datetime(2026, 11, 22, 3, 4, 5)
        )

    def path(self, name: str) -> str:
        """Where a source is."""
        return str(self.folder / name)

    def write(self, name: str, text: str = "") -> str:
        """Make a source; returns where it is."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def changed(
        self, request: PackRequest | FolderPackRequest | None, changes: Mapping[str, Any]
    ) -> PackRequest | FolderPackRequest:
        """Return a request, or the usual one, with some fields changed."""
        changing: Any = request or self.request
        changed: PackRequest | FolderPackRequest = evolve(changing, **changes)
        return changed

    def pack(
        self, request: PackRequest | FolderPackRequest | None = None, **changes: Any
    ) -> dict[str, bytes]:
        """Pack, and return the files that the server would see, without the manifest."""
        made = pack(self.changed(request, changes), self.told.append)
        self.seen = open_archive(made, self.folder / "unpacked" / os.urandom(4).hex())
        return content_of(self.seen)

    def refusal(self, request: PackRequest | FolderPackRequest | None = None, **changes: Any) -> str:
        """Why packing fails."""
        before = sorted(self.out.rglob("*"))
        why = self.assertRaises(PackingFailed, pack, self.changed(request, changes))
        self.assertEqual(sorted(self.out.rglob("*")), before)
        return str(why)
