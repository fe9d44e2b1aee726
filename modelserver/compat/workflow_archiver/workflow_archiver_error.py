"""What is raised where no archive can be made."""


class WorkflowArchiverError(Exception):
    """Says why."""


class WorkflowFileNotFoundError(WorkflowArchiverError, FileNotFoundError):
    """A file that is to be packed is not there."""
