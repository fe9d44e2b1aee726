"""Tests of ``modelserver/system``."""
