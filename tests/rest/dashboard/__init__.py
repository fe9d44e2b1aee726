"""Tests of ``modelserver/rest/dashboard``."""
