"""Tests of ``modelserver/config``."""
