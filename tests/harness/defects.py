"""Collaborators with a defect."""

from __future__ import annotations

from attrs import define, field

from modelserver.testing.providers import CountingRecorder


@define(eq=False)
class FailingRecorder(CountingRecorder):
    """
    Fails where it is to count some things.

    :param fails: the method that raises.
    :param word: it raises only when this is among what is counted.
    """

    fails: str = field(default="", kw_only=True)
    word: str = field(default="", kw_only=True)

    def _count(self, *what: str) -> None:
        if what[0] == self.fails and (not self.word or self.word in what):
            raise ZeroDivisionError(self.fails)
        super()._count(*what)
