"""How often Python looks for garbage in circles."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """
    Look for circles a tenth as often as Python does by itself; a start is a tenth faster by that alone.

    A plain request leaves no circle, so that a rare look is enough; each request that Twisted Web and Klein
    answer leaves some fifty objects in circles, which are young then. Old circles (of workers, of models) are
    looked for after a million allocations, and ``gc.freeze`` leaves out what lives as the server does.
    """
    gc.set_threshold(10_000, 10, 10)
