"""Tests of ``modelserver/rpc/wire``."""
