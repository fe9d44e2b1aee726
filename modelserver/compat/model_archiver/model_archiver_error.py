"""What is raised where no archive can be made."""


class ModelArchiverError(Exception):
    """Says why."""
