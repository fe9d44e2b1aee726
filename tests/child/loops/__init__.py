"""Tests of ``modelserver/child/loops``."""
