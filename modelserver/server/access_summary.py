"""The log lines of the start that say who may do what, and what has decided so."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from modelserver.config.address import Address
from modelserver.config.grpc_keys import GRPC_SIDES
from modelserver.config.settings import Settings
from modelserver.config.table import KEY
from modelserver.dialect_rules import DIALECTS

SECRET_FILES = ("token_file", "private_key_file", "keystore")
"""The keys that name files which nobody else on the machine should be able to read."""
SAGEMAKER_VARIABLES = "SAGEMAKER_"
"""What names of variables begin with in the containers of SageMaker."""
SAGEMAKER_NAME = "model.aws.local"
"""What SageMaker sends as ``Host`` when it registers the models of a multi-model endpoint."""
TOKENS_OFF = "disable_token_authorization"
MODEL_API = "enable_model_api"
WORKFLOW_API = "enable_workflow_api"


def access_line(settings: Settings) -> str:
    """Return the line that says whether tokens are asked for, and whether models may be changed over HTTP."""
    tokens = "are not asked for" if settings.disable_token_authorization else "are asked for"
    control = "can" if settings.enable_model_api else "cannot"
    said = (
        f"Access: tokens {tokens} ({_decided_by(settings, TOKENS_OFF)}); "
        f"models {control} be registered and unregistered over HTTP ({_decided_by(settings, MODEL_API)})"
    )
    has_workflows, are_allowed = DIALECTS[settings.dialect].has_workflows, settings.enable_workflow_api
    if not has_workflows or are_allowed == settings.enable_model_api:
        return f"{said}."
    workflows = "can" if are_allowed else "cannot"
    return f"{said}, but workflows {workflows} ({_decided_by(settings, WORKFLOW_API)})."


def own_names(settings: Settings, environment: Mapping[str, str]) -> Collection[str]:
    """
    Return the names, beside ``allowed_hosts``, under which calls may change the server while tokens are off.

    The operator has written them as addresses; SageMaker calls each container by one name.
    """
    addresses = (settings.inference_address, settings.management_address)
    bound = [each.host.lower() for each in addresses if each.host]
    is_on_sagemaker = any(name.startswith(SAGEMAKER_VARIABLES) for name in environment)
    platform = [SAGEMAKER_NAME] if is_on_sagemaker else []
    return frozenset((*bound, *platform))


def pages_line(settings: Settings) -> str | None:
    """Return the line that says who may change the server while tokens are off; None: keys decide."""
    if not settings.disable_token_authorization:
        return None
    named = f", {', '.join(settings.allowed_hosts)}" if settings.allowed_hosts else ""
    return (
        "While tokens are off, calls that change this server are refused to web pages of other origins, "
        f"and to all under other names than localhost{named} (allowed_hosts)."
    )


def exposures(settings: Settings) -> Iterator[str]:
    """Yield a warning for each thing that lets others in, or read along. Blocks: it looks at files."""
    everybody = open_to_others(settings)
    if everybody is not None:
        yield everybody
    plain = [str(address) for address in _reached(settings) if address.scheme in ("http", "grpc")]
    if plain:
        yield (
            f"What is sent to {' or '.join(plain)}, keys among it, can be read on its way: "
            "others reach it, and it has no TLS. Write https:// (for gRPC: enable_grpc_ssl=true), or keep a "
            "proxy with TLS in front of it."
        )
    for key in SECRET_FILES:
        path = getattr(settings, key)
        modes = (
            [] if path is None else [(each, mode) for each in _files_of(path) if (mode := _open_mode(each))]
        )
        if modes:
            file, mode = modes[0]
            yield f"{key}: others on this machine can read {file} (mode {mode:04o}): chmod 600 {file}"


def _files_of(path: Path) -> Iterator[Path]:
    """Yield the files of a key: the path itself, or the visible files of a folder (mounted secrets)."""
    try:
        if path.is_dir():
            yield from sorted(
                each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")
            )
        else:
            yield path
    except OSError:
        return  # who needs it will say so


def _open_mode(file: Path) -> int:
    """Return the permissions of a file that others than its owner can read; else, and without it, 0."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return 0
    return mode if mode & (stat.S_IRGRP | stat.S_IROTH) else 0


def open_to_others(settings: Settings) -> str | None:
    """Return a warning if the command, and not the configuration, lets other machines in; else None."""
    if not settings.disable_token_authorization or not _is_preset(settings, TOKENS_OFF):
        return None
    reached = list(map(str, _reached(settings)))
    if not reached:
        return None
    return (
        f"Everybody who reaches {' or '.join(reached)} may use this server. {TOKENS_OFF}=false in the "
        f"configuration turns tokens on; {TOKENS_OFF}=true says that this is meant."
    )


def _reached(settings: Settings) -> list[Address]:
    """Return the addresses of predictions and management that other machines may reach."""
    rpc = [address for side in GRPC_SIDES if (address := settings.grpc_address(side)) is not None]
    addresses = dict.fromkeys((settings.inference_address, settings.management_address, *rpc))
    return [address for address in addresses if not is_local(address)]


def _is_preset(settings: Settings, key: str) -> bool:
    """Return whether a value is neither configured nor the default: the command has preset it."""
    default = KEY[key].default_in(settings.dialect)
    return not settings.properties.get(key) and getattr(settings, key) != (default == "true")


def _decided_by(settings: Settings, key: str) -> str:
    value = str(getattr(settings, key)).lower()
    if settings.properties.get(key):
        return f"configured, {key}={value}"
    if _is_preset(settings, key):
        return f"preset of this command, unless {key} is configured"
    return f"default, {key}={value}"


def is_local(address: Address) -> bool:
    """Return whether only this machine reaches an address."""
    if address.scheme == "unix" or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
