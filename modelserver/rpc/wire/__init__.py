"""What gRPC adds to HTTP/2, as bytes: frames, codings, metadata, time limits. No state of a connection."""
