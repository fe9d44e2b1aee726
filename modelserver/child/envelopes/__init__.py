"""Request envelopes: bodies in a serving protocol, unwrapped for the handler."""
