"""Tests of ``modelserver/child/handler_tests``."""
