"""Metrics that handlers emit, by the names of both peers."""
