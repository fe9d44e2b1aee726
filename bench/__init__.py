"""Measures this server beside TorchServe and Multi Model Server: ``python -m bench --help``."""
