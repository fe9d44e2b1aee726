"""Tests of ``modelserver/child/metrics``."""
