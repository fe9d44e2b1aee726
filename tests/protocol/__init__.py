"""Tests of ``modelserver/protocol``."""
