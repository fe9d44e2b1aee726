"""The command ``multi-model-server``: Multi Model Server's, with its options, messages and exit statuses."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelserver.cli.launchers.launcher import MMS_CLASS, BackgroundLauncher, Words
from modelserver.cli.launchers.peer_command import add_foreground, add_models, missing, start_or_stop
from modelserver.config.loading import SAGEMAKER, CommandLine, load_settings
from modelserver.config.value_types import ConfigurationError

WORDS = Words(
    main_class=MMS_CLASS,
    running="Model server is already running, please use multi-model-server --stop to stop MMS.",
    absent="Model server is not currently running.",
    stopped="Model server stopped.",
    gone="Model server already stopped.",
    slow="Stopping the model server took too long.",
    stale="Model server already stopped.",
)
OLD_NAME = "Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server."

_REMOTE = re.compile(r"(?:[^=/:]+=)?(?:https?|s3)://.+", re.IGNORECASE)


def main(argv: Sequence[str] | None = None, launcher: BackgroundLauncher | None = None) -> int:
    """
    Start or stop the server.

    :param argv: the words after the command, or None for those of this process.
    :returns: the exit status.
    """
    arguments = build_parser().parse_args(argv)
    return start_or_stop(arguments, launcher or BackgroundLauncher(WORDS), problem_with, options_for)


def main_by_old_name() -> int:
    """Start or stop the server by its old name ``mxnet-model-server``, with a warning."""
    print(OLD_NAME)
    return main()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``multi-model-server``."""
    parser = argparse.ArgumentParser(
        prog="multi-model-server", description="Serve models: modelserver, in Multi Model Server's place."
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--start", action="store_true", help="start the server; what is done by default")
    action.add_argument("--stop", action="store_true", help="stop the server")
    add = parser.add_argument
    add("--mms-config", metavar="FILE", help="configuration file (config.properties), or: sagemaker")
    add("--model-store", metavar="DIR", help="folder of model archives")
    add_models(parser)
    add("--log-config", metavar="FILE", help="log4j configuration; read for what is known of it")
    add_foreground(parser)
    return parser


def problem_with(arguments: argparse.Namespace, environ: Mapping[str, str], cwd: Path) -> str | None:
    """Return why the server cannot be started with these options, or None."""
    config = None if arguments.mms_config == SAGEMAKER else arguments.mms_config
    given = (
        ("mms-config", "file", config, Path.is_file),
        ("model-store", "directory", arguments.model_store, Path.is_dir),
        ("log-config", "file", arguments.log_config, Path.is_file),
    )
    for option in given:
        problem = missing(*option)
        if problem is not None:
            return problem
    command_line = CommandLine(
        config_file=arguments.mms_config, model_store=arguments.model_store, models=tuple(arguments.models)
    )
    try:
        settings, _ = load_settings(command_line, environ, cwd, "mms")
    except ConfigurationError as error:
        return f"Invalid configuration: {error}"
    are_local = any(_REMOTE.fullmatch(model) is None for model in arguments.models)
    if are_local and settings.model_store is None:
        return "--model-store is required to load model locally."
    store = settings.model_store
    return None if store is None else missing("model-store", "directory", str(store), Path.is_dir)


def options_for(arguments: argparse.Namespace) -> list[str]:
    """Return the same options as the server's plugin has them."""
    options = ["--launcher", "mms", "--dialect", "mms"]
    for name in ("mms_config", "model_store", "log_config"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name.replace('_', '-')}", value]
    return options + [word for model in arguments.models for word in ("--models", model)]


if __name__ == "__main__":
    sys.exit(main())
