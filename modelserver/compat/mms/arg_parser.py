"""The arguments of ``multi-model-server`` and of its workers."""

import argparse

from modelserver.compat.borrowed import borrowed

_TRUE, _FALSE = {"yes", "true", "y", "1"}, {"no", "false", "n", "0"}


class ArgParser:
    """Makes the parsers."""

    @staticmethod
    def mms_parser():
        """The parser of ``multi-model-server``."""
        parser = argparse.ArgumentParser(prog="multi-model-server", description="Serves models")
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--start", action="store_true", help="start the server")
        action.add_argument("--stop", action="store_true", help="stop the server")
        parser.add_argument("--mms-config", help="the file of the server's settings")
        parser.add_argument("--model-store", help="the folder of model archives")
        parser.add_argument(
            "--models", nargs="+", metavar="[NAME=]ARCHIVE", help="models to load at the start"
        )
        parser.add_argument("--log-config", help="a file for log4j")
        parser.add_argument("--foreground", action="store_true", help="wait until the server has ended")
        return parser

    @staticmethod
    def str2bool(v):
        """
        The truth value of a word.

        :raises argparse.ArgumentTypeError: it has none.
        """
        word = v.lower()
        if word not in _TRUE | _FALSE:
            raise argparse.ArgumentTypeError(f"{v} is neither true nor false")
        return word in _TRUE

    @staticmethod
    def model_service_worker_args():
        """The parser of a worker of the Java server."""
        parser = argparse.ArgumentParser(prog="model-server-worker", description="A worker")
        parser.add_argument("--sock-type", required=True, choices=["unix", "tcp"])
        for name in ("--sock-name", "--host", "--port", "--handler", "--model-path", "--model-name"):
            parser.add_argument(name)
        parser.add_argument("--preload-model", required=True, type=ArgParser.str2bool)
        parser.add_argument("--tmp-dir", required=True)
        return parser

    @staticmethod
    def extract_args(args=None):
        """The arguments of ``multi-model-server``: these, or the process's own."""
        return ArgParser.mms_parser().parse_args(args or None)


__getattr__ = borrowed(__name__)
