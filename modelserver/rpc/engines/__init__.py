"""Providers of the seam to HTTP/2: each is imported only where it is chosen."""
