"""Tests of ``modelserver/examples``."""
