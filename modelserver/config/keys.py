"""A configuration key: its kind, default and meaning, the peers that know it, and what sets it."""

from __future__ import annotations

from typing import Literal

from modelserver.config.value_types import PEER_BOOLEAN, Kind
from modelserver.dialect_rules import DIALECTS, MMS
from modelserver.language.attributes import frozen

Status = Literal["implemented", "accepted", "unsupported", "ours"]
"""``accepted``: has no meaning here, and a use of it is told once. ``unsupported``: is for something that
this server does not have; told likewise. ``ours``: the peers do not know it."""


@frozen
class ConfigurationKey:
    """
    One key of ``config.properties``.

    :param default: as it would be written, or None for unset.
    :param meaning: one sentence for tables.
    :param peers: who knows it: ``TS``, ``MMS``.
    :param variable: the environment variable: None for prefix and upper-case key, empty for none at all,
        or its own name.
    :param setting: the field of ``Settings`` that it fills, or empty.
    :param reason: why it is accepted or unsupported, as the end of a sentence.
    :param mms_default: the default in MMS's dialect, where it is another one.
    :param always: its variable is read without ``enable_envvars_config``, too.
    :param quiet: written by the peers into snapshots, so that its presence is no news.
    """

    name: str
    kind: Kind
    default: str | None
    meaning: str
    peers: tuple[str, ...] = ()
    status: Status = "implemented"
    variable: str | None = None
    setting: str = ""
    reason: str = ""
    mms_default: str | None = None
    always: bool = False
    quiet: bool = False

    def variable_name(self, dialect: str) -> str | None:
        """Return the environment variable in this dialect, or None if only a file can set the key."""
        if self.variable is None:
            return DIALECTS[dialect].variable_prefix + self.name.upper()
        return self.variable or None

    def default_in(self, dialect: str) -> str | None:
        """Return the default in this dialect, as it would be written."""
        if dialect == MMS.name and self.mms_default is not None:
            return self.mms_default
        return self.default

    def warning(self, value: str) -> str | None:
        """Return a warning about the use of this key with this value, or None."""
        if self.kind is PEER_BOOLEAN and value and value.lower() not in ("true", "false"):
            return f"{self.name}={value} is read as false: neither true nor false."
        if self.status in ("implemented", "ours") or self.quiet or value == (self.default or ""):
            return None
        what = "has no meaning here" if self.status == "accepted" else "is not supported"
        return f"{self.name} {what}: {self.reason}."
