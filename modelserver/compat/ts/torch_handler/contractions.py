"""English contractions."""

from modelserver.child.handlers.contractions import CONTRACTION_MAP

__all__ = ["CONTRACTION_MAP"]
