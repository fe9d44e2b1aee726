"""Example models that the quick start serves."""
