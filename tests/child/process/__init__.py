"""Tests of ``modelserver/child/process``."""
