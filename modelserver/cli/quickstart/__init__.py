"""The subcommand that starts a server with an example model."""
