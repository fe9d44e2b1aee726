"""Tests of ``modelserver/cli/launchers``."""
