"""Composition: every object of the server is built here, and connected."""
