"""What the servers are asked to serve; each file is packed as it is, and imports nothing of ours."""
