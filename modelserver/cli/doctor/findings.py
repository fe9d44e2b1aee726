"""The results of an examination."""

from __future__ import annotations

from typing import Literal

from modelserver.language.attributes import frozen

Verdict = Literal["works", "differs", "ignored", "fails"]
"""``differs``: works, but not as with the peer. ``fails``: something that was there is not here."""


@frozen
class Finding:
    """
    One thing of an installation, and what this server does with it.

    :param what: a key, a file, or several of them.
    :param text: a sentence; empty where the verdict says it all.
    """

    verdict: Verdict
    what: str
    text: str = ""


@frozen
class Report:
    """Everything that was found out about one configuration or archive."""

    title: str
    findings: tuple[Finding, ...]

    @property
    def fails(self) -> bool:
        """Return whether something will not work."""
        return any(finding.verdict == "fails" for finding in self.findings)
