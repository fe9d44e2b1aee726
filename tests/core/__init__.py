"""Tests of ``modelserver/core``."""
