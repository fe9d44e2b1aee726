"""Checks that need a real GPU."""
