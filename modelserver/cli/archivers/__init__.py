"""Programs that pack model archives, the peers' among them."""
