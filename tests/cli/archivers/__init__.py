"""Tests of ``modelserver/cli/archivers``."""
