"""Requests as handlers see them, and answers as the server takes them."""
