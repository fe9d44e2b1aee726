"""Tests of ``modelserver/cli/client``."""
