"""Tests of ``modelserver/child``."""
