"""The TorchServe whose Python API this is."""

import os

from modelserver.compat.borrowed import borrowed

__all__ = ["os", "version_path"]

version_path = os.path.join(os.path.dirname(__file__), "version.txt")
__version__ = "0.12.0"

__getattr__ = borrowed(__name__)
