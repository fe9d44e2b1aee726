"""Tests of ``modelserver/inference``."""
