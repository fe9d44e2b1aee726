"""How often Python looks for garbage in circles."""

from __future__ import annotations

import gc


def collect_nothing() -> None:
    """
    Look for no circles: a start makes few, and looking for them is a tenth of its time.

    ``keep_for_ever`` ends this.
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
