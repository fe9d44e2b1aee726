"""Whether a cluster asks for a token: without one, whoever reaches it can run anything on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MODE, TOKEN, FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_USUAL = Path(".ray") / "auth_token"
LOCAL = "local"


def token_refusal(address: str, environment: Mapping[str, str]) -> str:
    """
    Return why a cluster is not joined; empty: it may be.

    A cluster of the server's own is started with a token that nobody else has: ``own_token``.
    """
    if address == LOCAL:
        return ""
    mode = environment.get(MODE, "").lower()
    has_token = bool(environment.get(TOKEN)) or any(path.is_file() for path in _files(environment))
    if mode in ("", "token") and has_token:
        return ""
    why = f"{MODE} is {mode}" if mode not in ("", "token") else "there is no token"
    return (
        f"the cluster at {address} is not joined without Ray's token authentication ({why}): start its nodes "
        f"and this server with {MODE}=token and the same token ({TOKEN}, {FILE}, or ~/{_USUAL})"
    )


def _files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get(FILE)
    home = environment.get("HOME")
    return [*([Path(named)] if named else []), *([Path(home) / _USUAL] if home else [])]


def own_token(token: str) -> dict[str, str]:
    """Return the variables that have a cluster of one's own ask for a token."""
    return {MODE: "token", TOKEN: token}
