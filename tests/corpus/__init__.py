"""Handlers of public repositories, unchanged, in our server: ``python -m tests.corpus --folder DIR``."""
