"""Tests of ``modelserver/language``."""
