"""The TorchServe whose Python API this is."""

__version__ = "0.12.0"
