"""TLS: contexts, handshakes, and the first byte, which distinguishes TLS from plain HTTP."""
