"""Workflows: graphs of models and functions, what each node is, and which of them are served."""
