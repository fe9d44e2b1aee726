"""The dashboard: a page for people, and the state of the server that it shows."""
