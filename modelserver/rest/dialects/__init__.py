"""The words of each peer: a value or an error in, a reply out."""
