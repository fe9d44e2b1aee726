"""Programs that start and stop a server, the peers' among them."""
