"""What archives are examined with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from modelserver.cli.doctor.handler_imports import is_importable
from modelserver.config.settings import Settings


@frozen
class Examination:
    """
    What archives are examined with.

    :param scratch: a folder to unpack into.
    :param settings: the settings of the server that shall serve them.
    :param importable: whether workers can import a module.
    """

    scratch: Path
    settings: Settings
    importable: Callable[[str], bool] = is_importable
