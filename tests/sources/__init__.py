"""Tests of ``modelserver/sources``."""
