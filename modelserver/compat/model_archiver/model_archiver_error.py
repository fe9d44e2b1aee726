"""What is raised where no archive can be made."""


class ModelArchiverError(Exception):
    """Says why."""


class ModelFileNotFoundError(ModelArchiverError, FileNotFoundError):
    """A file that is to be packed is not there."""
