"""What archives are examined with."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil

from modelserver.cli.doctor.handler_imports import is_importable
from modelserver.config.settings import Settings
from modelserver.language.attributes import frozen
from modelserver.system.group_memory import group_memory


def usable_memory() -> int:
    """Return the bytes that this machine has, or that the control groups of this process allow."""
    total: int = psutil.virtual_memory().total
    group = group_memory()
    return total if group is None else min(total, group.limit)


def installed_version(package: str) -> str | None:
    """Return the version of a package that workers will import; it is not imported here."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@frozen
class Examination:
    """
    What archives are examined with.

    :param scratch: a folder to unpack into.
    :param settings: the settings of the server that shall serve them.
    :param importable: whether workers can import a module.
    :param memory: bytes that workers can have.
    :param version_of: the installed version of a package, or None.
    """

    scratch: Path
    settings: Settings
    importable: Callable[[str], bool] = is_importable
    memory: Callable[[], int] = usable_memory
    version_of: Callable[[str], str | None] = installed_version
