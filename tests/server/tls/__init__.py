"""Tests of ``modelserver/server/tls``."""
