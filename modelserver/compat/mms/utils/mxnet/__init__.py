"""Small things for MXNet, where it is installed."""

from modelserver.compat.borrowed import borrowed

__getattr__ = borrowed(__name__)
