"""The REST front: the table of routes, the APIs that answer it, and the words of each dialect."""
