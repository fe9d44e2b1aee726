"""The peers' own classes by which handlers are tested without a server."""
