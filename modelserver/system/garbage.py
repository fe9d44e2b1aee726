"""How often Python looks for garbage in circles."""

from __future__ import annotations

import gc

from modelserver.language.attributes import frozen


@frozen
class CollectingHabits:
    """
    When Python looked for circles at some time: for a process whose server does not start, or is over.

    :param is_enabled: whether it looks at all.
    :param threshold: as ``gc.get_threshold`` has it.
    """

    is_enabled: bool
    threshold: tuple[int, int, int]

    @classmethod
    def now(cls) -> CollectingHabits:
        """Return what holds now."""
        return cls(gc.isenabled(), gc.get_threshold())

    def restore(self) -> None:
        """Let it hold again."""
        gc.set_threshold(*self.threshold)
        if self.is_enabled:
            gc.enable()
        else:
            gc.disable()


def collect_nothing() -> None:
    """
    Look for no circles: a start makes few, and looking for them is a tenth of its time.

    ``keep_for_ever`` ends this; where a start fails, ``CollectingHabits.restore``.
    """
    gc.disable()


def collect_rarely() -> None:
    """
    Look for circles a tenth as often as Python does by itself.

    A plain request leaves no circle, so that a rare look is enough; each request that Twisted Web and Klein
    answer leaves some fifty objects in circles, which are young then. Old circles (of workers, of models) are
    looked for after a million allocations, and ``keep_for_ever`` leaves out what lives as the server does.
    """
    gc.set_threshold(10_000, 10, 10)


def keep_for_ever() -> None:
    """
    Look no more at what is there: it lives as long as the server. Look for circles from now on.

    There is no collection before: so soon there is next to nothing to collect, and it takes 30 ms.
    """
    gc.freeze()
    gc.enable()
