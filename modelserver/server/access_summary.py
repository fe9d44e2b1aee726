"""The log lines of the start that say who may do what, and what has decided so."""

from __future__ import annotations

import ipaddress

from modelserver.config.address import Address
from modelserver.config.settings import Settings
from modelserver.config.table import KEY

TOKENS_OFF = "disable_token_authorization"
MODEL_API = "enable_model_api"


def access_line(settings: Settings) -> str:
    """Return the line that says whether tokens are asked for, and whether models may be changed over HTTP."""
    tokens = "are not asked for" if settings.disable_token_authorization else "are asked for"
    control = "can" if settings.enable_model_api else "cannot"
    return (
        f"Access: tokens {tokens} ({_decided_by(settings, TOKENS_OFF)}); "
        f"models {control} be registered and unregistered over HTTP ({_decided_by(settings, MODEL_API)})."
    )


def open_to_others(settings: Settings) -> str | None:
    """Return a warning if the command, and not the configuration, lets other machines in; else None."""
    if not settings.disable_token_authorization or not _is_preset(settings, TOKENS_OFF):
        return None
    addresses = dict.fromkeys((settings.inference_address, settings.management_address))
    reached = [str(address) for address in addresses if not _is_local(address)]
    if not reached:
        return None
    return (
        f"Everybody who reaches {' or '.join(reached)} may use this server. {TOKENS_OFF}=false in the "
        f"configuration turns tokens on; {TOKENS_OFF}=true says that this is meant."
    )


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


def _is_local(address: Address) -> bool:
    if address.scheme == "unix" or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
