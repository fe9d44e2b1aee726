"""The values in the JSON of snapshots: reading them, and the names of archives."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from modelserver.sources.urls import NormalUrl, is_remote


class SnapshotInvalid(ValueError):
    """A snapshot's JSON does not have the shape of one; the text says where."""


def archive_name(url: str) -> str:
    """
    Return the file name that an archive has in its store.

    :raises SnapshotInvalid: the URL has none.
    """
    if is_remote(url):
        try:
            return NormalUrl.parse(url).file_name
        except ValueError as error:
            raise SnapshotInvalid(f"{url!r} is no URL of an archive") from error
    path = urlsplit(url).path if "://" in url else url
    return path.rstrip("/").rsplit("/", 1)[-1]


def object_of(value: object, where: str) -> dict[str, object]:
    """
    Return a JSON object.

    :param where: what has the value, for texts.
    :raises SnapshotInvalid: it has another type.
    """
    if not isinstance(value, dict):
        raise SnapshotInvalid(f"{where} is not a JSON object")
    return value


def text_of(values: Mapping[str, object], key: str, default: str | None, where: str) -> str:
    """
    Return a text, or the default where it is absent and there is one.

    :param where: what has the value, for texts.
    :raises SnapshotInvalid: it has another type.
    """
    value = values.get(key, default)
    if not isinstance(value, str):
        raise SnapshotInvalid(f"{key} of {where} is not a text")
    return value


def flag_of(values: Mapping[str, object], key: str, where: str) -> bool:
    """
    Return true or false; false where it is absent.

    :param where: what has the value, for texts.
    :raises SnapshotInvalid: it has another type.
    """
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise SnapshotInvalid(f"{key} of {where} is not true or false")
    return value


def number_of(values: Mapping[str, object], key: str, default: int, where: str) -> int:
    """
    Return a whole number, or the default where it is absent.

    :param where: what has the value, for texts.
    :raises SnapshotInvalid: it has another type.
    """
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SnapshotInvalid(f"{key} of {where} is not a whole number")
    return value


def count_of(values: Mapping[str, object], key: str, default: int, where: str) -> int:
    """Return a number of things; below 0 stands for none."""
    return max(0, number_of(values, key, default, where))
