"""The Multi Model Server whose Python API this is."""

__version__ = "1.1.11"
