"""The program that the Java server runs for metrics of the host; this server takes its own."""

from modelserver.compat.borrowed import borrowed

__getattr__ = borrowed(__name__)
