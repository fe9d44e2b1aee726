"""Tests of ``modelserver/workflows``."""
