"""The order for a download of an archive, and the seam to what downloads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.sources.urls import NormalUrl

Sign = Callable[[str], Mapping[str, str]]
"""Return the header fields that sign a GET of a URL. May block."""


@frozen
class Wanted:
    """
    What to download, and where to.

    :param shown: the URL as the client wrote it, for messages.
    :param sign: signs requests to the URL's own origin; requests to other origins get no signature.
    """

    url: NormalUrl
    shown: str
    target: Path
    sign: Sign | None = field(default=None, repr=False)


class Downloads(Protocol):
    """Downloads archives, each to a file of its own."""

    async def run(self, wanted: Wanted) -> None:
        """
        Download an archive. At the end, cancelled or not, the target is there and whole, or nothing is left.

        :raises ArchiveNotFound: a redirect or an address is not allowed.
        :raises ArchiveExists: a file of the target's name is there already.
        :raises DownloadFailed: anything else.
        """
