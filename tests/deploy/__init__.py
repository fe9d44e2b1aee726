"""What starts the server on platforms: their toolkits, their manifests, their service managers."""
