"""The TorchServe whose Python API this is."""

import os

from modelserver.compat.borrowed import borrowed
from modelserver.dialect_rules import TORCHSERVE

__all__ = ["os", "version_path"]

version_path = os.path.join(os.path.dirname(__file__), "version.txt")
__version__ = TORCHSERVE.peer_version

__getattr__ = borrowed(__name__)
