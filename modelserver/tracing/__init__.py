"""Traces: spans of requests, batches and workers, and their way to a collector (OpenTelemetry)."""
