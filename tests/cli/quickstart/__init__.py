"""Tests of ``modelserver/cli/quickstart``."""
