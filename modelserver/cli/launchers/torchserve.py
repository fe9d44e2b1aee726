"""The command ``torchserve``: TorchServe's, with its options, messages and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import modelserver
from modelserver.cli.launchers.launcher import TORCHSERVE_CLASS, BackgroundLauncher, Words
from modelserver.cli.launchers.peer_command import add_foreground, add_models, missing, start_or_stop
from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.value_types import ConfigurationError

WORDS = Words(
    main_class=TORCHSERVE_CLASS,
    running="TorchServe is already running, please use torchserve --stop to stop TorchServe.",
    absent="TorchServe is not currently running.",
    stopped="TorchServe has stopped.",
    gone="TorchServe already stopped.",
    slow="Stopping TorchServe took too long.",
    stale="Removing orphan pid file.\nTorchServe is not currently running.",
)


def main(argv: Sequence[str] | None = None, launcher: BackgroundLauncher | None = None) -> int:
    """
    Start or stop the server, or tell the version.

    :param argv: the words after the command, or None for those of this process.
    :returns: the exit status.
    """
    arguments = build_parser().parse_args(argv)
    if arguments.version:
        print(f"TorchServe Version is {modelserver.__version__}")
        return 0
    return start_or_stop(arguments, launcher or BackgroundLauncher(WORDS), problem_with, options_for)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``torchserve``."""
    parser = argparse.ArgumentParser(
        prog="torchserve", description="Serve PyTorch models: modelserver, in TorchServe's place."
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("-v", "--version", action="store_true", help="print the version")
    action.add_argument("--start", action="store_true", help="start the server; what is done by default")
    action.add_argument("--stop", action="store_true", help="stop the server")
    add = parser.add_argument
    add("--ts-config", metavar="FILE", help="configuration file (config.properties)")
    add("--model-store", metavar="DIR", help="folder of model archives; mandatory unless the file has it")
    add("--workflow-store", metavar="DIR", help="folder of workflow archives")
    add_models(parser)
    add("--log-config", metavar="FILE", help="log4j configuration; read for what is known of it")
    add("--cpp-log-config", metavar="FILE", help="accepted and not used: there is no C++ backend")
    add_foreground(parser)
    add("--no-config-snapshots", "--ncs", action="store_true", help="neither write nor restore snapshots")
    add("--plugins-path", "--ppath", metavar="PATH", help="accepted and not used: Java plugins")
    add("--disable-token-auth", "--dt", action="store_true", help="requests need no token")
    add("--enable-model-api", action="store_true", help="models may be registered and unregistered over HTTP")
    return parser


def problem_with(arguments: argparse.Namespace, environ: Mapping[str, str], cwd: Path) -> str | None:
    """Return why the server cannot be started with these options, or None."""
    given = (
        ("ts-config", "file", arguments.ts_config, Path.is_file),
        ("model-store", "directory", arguments.model_store, Path.is_dir),
        ("workflow-store", "directory", arguments.workflow_store, Path.is_dir),
        ("log-config", "file", arguments.log_config, Path.is_file),
        ("cpp-log-config", "file", arguments.cpp_log_config, Path.is_file),
    )
    for option in given:
        problem = missing(*option)
        if problem is not None:
            return problem
    command_line = CommandLine(
        config_file=arguments.ts_config,
        model_store=arguments.model_store,
        workflow_store=arguments.workflow_store,
        models=tuple(arguments.models),
        no_config_snapshots=arguments.no_config_snapshots,
    )
    try:
        settings, _ = load_settings(command_line, environ, cwd, "torchserve")
    except ConfigurationError as error:
        return f"Invalid configuration: {error}"
    if settings.model_store is None:
        return "Missing mandatory parameter --model-store"
    return missing("model-store", "directory", str(settings.model_store), Path.is_dir)


def options_for(arguments: argparse.Namespace) -> list[str]:
    """Return the same options as the server's plugin has them."""
    options = ["--launcher", "torchserve", "--dialect", "torchserve"]
    for name in (
        "ts_config",
        "model_store",
        "workflow_store",
        "log_config",
        "cpp_log_config",
        "plugins_path",
    ):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name.replace('_', '-')}", value]
    for name in ("no_config_snapshots", "disable_token_auth", "enable_model_api"):
        if getattr(arguments, name):
            options.append(f"--{name.replace('_', '-')}")
    return options + [word for model in arguments.models for word in ("--models", model)]


if __name__ == "__main__":
    sys.exit(main())
