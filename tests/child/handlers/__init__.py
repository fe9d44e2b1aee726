"""Tests of ``modelserver/child/handlers``."""
