"""Tests of ``modelserver/archive``."""
