"""The options of ``torch-model-archiver``."""

import argparse

from model_archiver.model_archiver_config import ModelArchiverConfig

from modelserver.archive.pack_arguments import add_arguments

__all__ = ["ArgParser", "ModelArchiverConfig"]


class ArgParser:
    """Reads the options."""

    @staticmethod
    def export_model_args_parser():
        """The options of this process's command, as a configuration."""
        parser = argparse.ArgumentParser(prog="torch-model-archiver", description="Packs a model.")
        add_arguments(parser)
        return ModelArchiverConfig.from_args(parser.parse_args())
