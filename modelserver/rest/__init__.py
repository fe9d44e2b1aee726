"""The HTTP front: channels, routes and bodies."""
