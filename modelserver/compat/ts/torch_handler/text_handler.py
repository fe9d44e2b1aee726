"""What the handlers of texts have in common."""

import re

from modelserver.child.handlers.contractions import CONTRACTION_MAP
from modelserver.child.handlers.text_handler import TextHandler
from modelserver.compat.borrowed import borrowed

__all__ = ["CONTRACTIONS_PATTERN", "CONTRACTION_MAP", "TextHandler", "re"]

CONTRACTIONS_PATTERN = re.compile(f"({'|'.join(CONTRACTION_MAP)})", re.IGNORECASE | re.DOTALL)

__getattr__ = borrowed(__name__)
