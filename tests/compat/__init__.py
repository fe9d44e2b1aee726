"""Tests of ``modelserver/compat``."""
