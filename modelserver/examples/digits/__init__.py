"""A small model that reads handwritten digits: its network, weights, handler, configuration and samples."""
