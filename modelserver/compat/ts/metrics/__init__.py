"""What handlers count."""

from modelserver.compat.borrowed import borrowed

__getattr__ = borrowed(__name__)
