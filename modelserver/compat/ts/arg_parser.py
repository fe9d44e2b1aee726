"""The arguments of ``torchserve`` and of its workers."""

import argparse

from modelserver.compat.borrowed import borrowed

_SERVER = {
    "--ts-config": "the file of the server's settings",
    "--model-store": "the folder of model archives",
    "--workflow-store": "the folder of workflow archives",
    "--log-config": "a file for log4j",
    "--cpp-log-config": "a file for the logs of C++ workers",
}


class ArgParser:
    """Makes the parsers."""

    @staticmethod
    def ts_parser():
        """The parser of ``torchserve``."""
        parser = argparse.ArgumentParser(prog="torchserve", description="Serves models")
        action = parser.add_mutually_exclusive_group()
        action.add_argument("-v", "--version", action="store_true", help="tell the version")
        action.add_argument("--start", action="store_true", help="start the server")
        action.add_argument("--stop", action="store_true", help="stop the server")
        for name, told in _SERVER.items():
            parser.add_argument(name, help=told)
        parser.add_argument(
            "--models", nargs="+", metavar="[NAME=]ARCHIVE", help="models to load at the start"
        )
        parser.add_argument("--foreground", action="store_true", help="wait until the server has ended")
        parser.add_argument(
            "--no-config-snapshots", "--ncs", action="store_true", help="write no snapshots of the settings"
        )
        parser.add_argument("--plugins-path", "--ppath", help="Java archives of plugins")
        parser.add_argument(
            "--disable-token-auth",
            "--dt",
            dest="token_auth",
            action="store_true",
            help="ask nobody for tokens",
        )
        parser.add_argument(
            "--enable-model-api", dest="model_mode", action="store_true", help="let clients register models"
        )
        return parser

    @staticmethod
    def model_service_worker_args():
        """The parser of a worker of the Java server."""
        parser = argparse.ArgumentParser(prog="model-server-worker", description="A worker")
        parser.add_argument("--sock-type", required=True, choices=["unix", "tcp"])
        for name in ("--sock-name", "--host", "--port", "--metrics-config"):
            parser.add_argument(name)
        parser.add_argument("--async", dest="async_comm", action="store_true")
        return parser

    @staticmethod
    def extract_args(args=None):
        """The arguments of ``torchserve``: these, or the process's own."""
        return ArgParser.ts_parser().parse_args(args or None)


__getattr__ = borrowed(__name__)
