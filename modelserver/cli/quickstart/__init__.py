"""The subcommand that shows a working server with a model."""
