"""What the calls of management ask for: values that fronts make and use cases take."""

from __future__ import annotations

import re

from attrs import field, frozen

from modelserver.version_settings.setting import SettingValues

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,254}")
"""What names of models and versions look like: they stand in paths, labels and log lines."""


@frozen
class VersionOverrides:
    """
    What the caller of a registration asks for; None, and no value, where the caller asks for nothing.

    :param initial_workers: the parameter of the API; a model-config with valid workers goes before it.
    :param settings: a snapshot gives ``min_workers`` and ``max_workers``, too; nothing goes before those.
    """

    handler: str | None = None
    runtime: str | None = None
    initial_workers: int | None = None
    settings: SettingValues = field(factory=dict)


@frozen
class RegisterRequest:
    """
    What the caller of a registration said.

    :param name: to serve the model by, or None for the archive's own.
    :param synchronous: whether the caller waits for the workers.
    :param signed: the archive is fetched from S3 with a signature.
    :param sha256: what the archive must have, or None.
    :param start_up: it is a model of the server's start, not of the API: it may lie outside the store.
    :param is_kept: the archive was downloaded from the URL by a server before this one, and is in the store.
    :param fallback_name: to serve the model by where nobody else names it, or None.
    """

    url: str
    name: str | None = None
    overrides: VersionOverrides = field(factory=VersionOverrides)
    synchronous: bool = True
    signed: bool = False
    sha256: str | None = None
    start_up: bool = False
    fallback_name: str | None = None
    is_kept: bool = False


@frozen
class ScaleRequest:
    """
    How many workers a version is to have.

    :param version: None for the default one.
    :param gpu_workers: how many of the new workers get a GPU; None: as the version's settings say.
    :param synchronous: whether the caller waits for the workers.
    :param drain: seconds that those who leave may take to finish; None: as long as it takes.
    """

    name: str
    version: str | None = None
    minimum: int = 1
    maximum: int = 1
    gpu_workers: int | None = None
    synchronous: bool = False
    drain: float | None = None
