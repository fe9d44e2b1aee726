"""Runs of workflows: each node is an ordinary job of its model, its answer the input of the next ones."""
