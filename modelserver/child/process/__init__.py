"""The start of a worker process, in each of its ways."""
