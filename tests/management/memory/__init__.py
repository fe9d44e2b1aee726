"""Tests of ``modelserver/management/memory``."""
