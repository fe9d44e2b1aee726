"""A model server: supervised worker processes behind HTTP, fed by a batch aggregator for each model."""

__version__ = "0.2.0"
