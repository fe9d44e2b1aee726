"""What scripts import of ``torch-workflow-archiver`` to pack workflows."""

from workflow_archiver.version import __version__

__all__ = ["__version__"]
