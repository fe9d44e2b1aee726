"""The kinds of values that keys have: how each is read from text, and what it allows, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from modelserver.config.address import parse_address, parse_interface
from modelserver.config.model_list import parse_load_models
from modelserver.language.attributes import frozen
from modelserver.system.memory_total import MemoryAmount

Reader = Callable[[str, Path], object]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_SIZE = re.compile(r"([0-9]{1,18})([KMG]?)", re.IGNORECASE)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")
_HOST = re.compile(r"(?!-)[a-z0-9_.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@frozen
class ConfigurationError(Exception):
    """
    The configuration cannot be used; the server does not start.

    :param key: the key, or empty where no key is to blame.
    :param value: as it was written.
    :param allowed: what may be written, in words.
    :param reason: what is wrong with the value, where that is more than "not allowed".
    """

    key: str
    value: str
    allowed: str = ""
    reason: str = ""

    def __str__(self) -> str:
        words = f"{self.key}={self.value}" if self.key else self.value
        if self.reason:
            words = f"{words}: {self.reason}" if words else self.reason
        return f"{words} (allowed: {self.allowed})" if self.allowed else words


@frozen
class Kind:
    """
    A kind of value.

    :param name: one or two words for tables.
    :param allowed: what may be written, in words.
    :param read: from text, and the folder that relative paths start from, to the value.
        It raises ValueError, with a reason or without.
    """

    name: str
    allowed: str
    read: Reader


def _boolean(text: str, cwd: Path) -> bool:
    word = text.lower()
    if word not in ("true", "false"):
        raise ValueError
    return word == "true"


def _whole(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError
    return int(text)


def whole(least: int, most: int | None = None) -> Kind:
    """Return the kind of whole numbers from ``least`` to ``most``, both included."""

    def read(text: str, cwd: Path) -> int:
        number = _whole(text)
        if number < least or (most is not None and number > most):
            raise ValueError
        return number

    upper = "" if most is None else f" to {most}"
    return Kind(
        "integer",
        f"a whole number from {least}{upper}" if upper else f"a whole number, {least} or more",
        read,
    )


def duration(unit: float = 1.0, positive: bool = False) -> Kind:
    """
    Return the kind of durations, read as seconds.

    :param unit: seconds in what is written: 60.0 for minutes, 0.001 for milliseconds.
    :param positive: refuse zero.
    """

    def read(text: str, cwd: Path) -> float:
        seconds = float(text) * unit
        if not math.isfinite(seconds) or seconds < 0 or (positive and seconds == 0):
            raise ValueError
        return seconds

    name = {60.0: "minutes", 0.001: "milliseconds"}.get(unit, "seconds")
    return Kind(name, f"a number of {name}, {'more than 0' if positive else '0 or more'}", read)


def size(positive: bool = False) -> Kind:
    """Return the kind of sizes in bytes; K, M and G behind the number stand for powers of 1024."""

    def read(text: str, cwd: Path) -> int:
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError
        number = int(match[1]) * _FACTORS[match[2].upper()]
        if positive and number == 0:
            raise ValueError
        return number

    least = "more than 0" if positive else "0 or more"
    return Kind("bytes", f"a number of bytes, {least}, with K, M or G behind it for powers of 1024", read)


def choice(*words: str) -> Kind:
    """Return the kind of one of several words, in any case."""

    def read(text: str, cwd: Path) -> str:
        word = text.lower()
        if word not in words:
            raise ValueError
        return word

    return Kind("word", " or ".join(words), read)


def address(http: int, https: int) -> Kind:
    """Return the kind of binding addresses; the ports are a listener's own where none is written."""
    return Kind(
        "address",
        f"http://HOST[:PORT] (port {http}), https://HOST[:PORT] (port {https}) or unix:/PATH",
        lambda text, cwd: parse_address(text, http, https),
    )


INTERFACE = Kind(
    "interface",
    "an IP address, a host's name or unix:/PATH",
    lambda text, cwd: parse_interface(text),
)
"""Where a listener is bound whose port has a key of its own."""


def _amount(text: str, cwd: Path) -> MemoryAmount:
    if text.lower() == "off":
        return MemoryAmount()
    match = _PERCENT.fullmatch(text)
    if match is None:
        return MemoryAmount(size=_BYTES.read(text, cwd))  # type: ignore[arg-type]  # a size is an int
    share = float(match[1]) / 100
    if not 0 < share <= 1:
        raise ValueError
    return MemoryAmount(share=share)


def _pattern(text: str, cwd: Path) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def _patterns(text: str, cwd: Path) -> tuple[str, ...]:
    return tuple(_pattern(part.strip(), cwd) for part in text.split(",") if part.strip())


def _hosts(text: str, cwd: Path) -> tuple[str, ...]:
    names = tuple(part.strip().lower().rstrip(".") for part in text.split(",") if part.strip())
    for name in names:
        if _HOST.fullmatch(name) is None:
            raise ValueError(f"{name} is no name of a host")
    return names


_BYTES = size(positive=True)
MEMORY = Kind(
    "memory",
    "a number of bytes (with K, M or G behind it for powers of 1024), a number of per cent (80%) or off",
    _amount,
)
"""An amount of memory, as such or as a share of what there is."""
BOOLEAN = Kind("boolean", "true or false", _boolean)
PEER_BOOLEAN = Kind("boolean", "true or false", lambda text, cwd: text.lower() == "true")
"""The peers take whatever is not ``true`` for false, and so configurations live on that hold such words."""
TEXT = Kind("text", "any text", lambda text, cwd: text)
PATH = Kind(
    "path",
    "a path; a relative one starts from the folder the server was started in",
    lambda text, cwd: cwd / text,
)
LOAD_LIST = Kind(
    "load list", "ALL, or [NAME=]LOCATION with commas between", lambda text, cwd: parse_load_models(text)
)
PATTERN = Kind("pattern", "a regular expression", _pattern)
PATTERNS = Kind("patterns", "regular expressions with commas between them", _patterns)
HOSTS = Kind("host names", "names of hosts, each with :PORT or without, with commas between them", _hosts)
