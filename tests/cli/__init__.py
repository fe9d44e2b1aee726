"""Tests of ``modelserver/cli``."""
