"""The programs that run in the peers' environments: each serves one handler, as its server's manual says."""
