"""Cases by name."""

from __future__ import annotations

from bench.cases import CASES, Case


def case_of(name: str) -> Case:
    """Return a case of the bench."""
    return next(case for case in CASES if case.name == name)
