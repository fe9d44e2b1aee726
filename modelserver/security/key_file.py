"""Files with keys: TorchServe's ``key_file.json``, and folders with a file for each key (mounted secrets).

https://github.com/pytorch/serve/blob/master/docs/token_authorization_api.md
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, get_args

from attrs import field

from modelserver.language.attributes import frozen

Kind = Literal["inference", "management", "token"]
"""What a key opens; ``token`` is the one that renews the other two (the peer's ``API`` key)."""

KINDS: tuple[Kind, ...] = get_args(Kind)
KEY_FILE = "key_file.json"
NEVER = float("inf")

_NAMES: Mapping[Kind, str] = {"management": "management", "inference": "inference", "token": "API"}
_SECRET = re.compile(r"[\x21-\x7e]+")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
_LARGEST = 64 * 1024


class KeyFileInvalid(ValueError):
    """A file with keys cannot be used; the text says why, and shows no key."""


@frozen
class AccessKey:
    """
    One key.

    :param expires: the end of its validity as files tell it, in seconds since the epoch.
    :param deadline: the same on the monotonic clock of the server that has taken the key; until then it
        is not valid.
    """

    secret: str = field(repr=False)
    expires: float = NEVER
    deadline: float = field(default=-NEVER, eq=False)
    bearer: bytes = field(init=False, repr=False)
    """The value of an ``Authorization`` header that has this key."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "bearer", b"Bearer " + self.secret.encode("ascii"))


def read_keys(path: Path) -> dict[Kind, AccessKey]:
    """
    Read the keys of a file, or of a folder with files named like the kinds of keys. Blocks.

    Links are followed: mounted secrets consist of them.

    :raises KeyFileInvalid: the path cannot be read, or is no key file.
    """
    try:
        if path.is_dir():
            found = {kind: path / name for kind, name in _NAMES.items() if (path / name).is_file()}
            return {kind: AccessKey(_secret(_read(file).strip(), file)) for kind, file in found.items()}
        return parse_keys(_read(path))
    except (OSError, UnicodeDecodeError) as why:
        raise KeyFileInvalid(f"{path} cannot be read: {why}") from why


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LARGEST).decode("utf-8")


def parse_keys(text: str) -> dict[Kind, AccessKey]:
    """
    Read the JSON of a key file, whoever wrote it. Kinds may be absent; without an expiration, a key stays.

    :raises KeyFileInvalid: the text has not the shape of a key file.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as why:
        raise KeyFileInvalid("it is not JSON") from why
    if not isinstance(document, dict):
        raise KeyFileInvalid("it is not a JSON object")
    keys: dict[Kind, AccessKey] = {}
    for kind, name in _NAMES.items():
        entry = document.get(name)
        if entry is None:
            continue
        if not isinstance(entry, dict):
            raise KeyFileInvalid(f"{name} is not a JSON object")
        keys[kind] = AccessKey(
            _secret(entry.get("key"), name), _expiration(entry.get("expiration time"), name)
        )
    return keys


def _secret(value: object, where: object) -> str:
    if not isinstance(value, str) or _SECRET.fullmatch(value) is None:
        raise KeyFileInvalid(f"the key of {where} is not a text of visible ASCII characters")
    return value


def _expiration(value: object, where: str) -> float:
    """Return seconds since the epoch of an instant as Java writes it: its fraction may have nine digits."""
    if value is None:
        return NEVER
    instant = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    try:
        if instant is None:
            raise ValueError
        whole = datetime.fromisoformat(instant[1]).replace(tzinfo=timezone.utc)
    except ValueError as why:
        raise KeyFileInvalid(f"the expiration time of {where} is not an instant in UTC") from why
    return whole.timestamp() + float(f"0.{instant[2] or 0}")


def render_keys(keys: Mapping[Kind, AccessKey]) -> str:
    """Return the JSON of a key file, as TorchServe writes it."""
    document: dict[str, dict[str, str]] = {}
    for kind, name in _NAMES.items():
        if kind in keys:
            document[name] = {"key": keys[kind].secret}
            if keys[kind].expires != NEVER:
                document[name]["expiration time"] = _instant(keys[kind].expires)
    return json.dumps(document, indent=2) + "\n"


def _instant(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def write_private(path: Path, text: str, unique: str) -> tuple[int, int]:
    """
    Put a file in place, whole, for its owner's eyes only; a link of that name is replaced, not followed.

    :param unique: a part of the unfinished file's name that no other process has.
    :returns: the identity of the file: device and inode.
    :raises OSError: the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{unique}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
            status = os.fstat(descriptor)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return status.st_dev, status.st_ino


def remove_own(path: Path, identity: tuple[int, int]) -> None:
    """Remove a file if it has the identity of the one that was written."""
    try:
        status = path.lstat()
        if (status.st_dev, status.st_ino) == identity:
            path.unlink()
    except FileNotFoundError:
        pass
