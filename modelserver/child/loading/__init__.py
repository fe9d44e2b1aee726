"""Loading a model: its archive, its handler, its event loop."""
