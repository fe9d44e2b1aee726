"""The subcommands for those who write handlers: a new project, and a server that reloads it."""
