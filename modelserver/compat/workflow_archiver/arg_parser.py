"""The options of ``torch-workflow-archiver``."""

import argparse

from modelserver.archive.pack_arguments import add_workflow_arguments

__all__ = ["ArgParser"]


class ArgParser:
    """Reads the options."""

    @staticmethod
    def workflow_archiver_args_parser():
        """The parser of the command."""
        parser = argparse.ArgumentParser(prog="torch-workflow-archiver", description="Packs a workflow.")
        add_workflow_arguments(parser)
        return parser
