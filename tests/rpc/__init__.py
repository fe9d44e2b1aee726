"""Tests of ``modelserver/rpc``."""
