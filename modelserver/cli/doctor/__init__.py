"""The subcommand that examines configurations and archives."""
