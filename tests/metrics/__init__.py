"""Tests of ``modelserver/metrics``."""
