"""Packages of the peers' names, for handlers: this folder is the last on a worker's search path."""
