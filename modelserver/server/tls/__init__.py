"""TLS: contexts, handshakes, and the first byte that tells TLS from plain HTTP."""
