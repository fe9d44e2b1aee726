"""Metrics: counted on the request path or sampled from the host; exposed to scrapes, or logged."""
