"""What the calls of management ask for: values that fronts make and use cases take."""

from __future__ import annotations

from attrs import field

from modelserver.errors import BadRequest
from modelserver.language.attributes import frozen
from modelserver.version_settings.setting import SettingValues

MOST_LISTED = 100
"""Models in one page of the list."""


@frozen
class VersionOverrides:
    """
    What the caller of a registration asks for; None, and no value, where the caller asks for nothing.

    :param initial_workers: the parameter of the API; a model-config with valid workers goes before it.
    :param settings: a snapshot gives ``min_workers`` and ``max_workers``, too; nothing goes before those.
    :param least: the fewest workers, and ``most`` the most ones, where the server decides how many there are.
    """

    handler: str | None = None
    runtime: str | None = None
    initial_workers: int | None = None
    least: int | None = None
    most: int | None = None
    settings: SettingValues = field(factory=dict)


@frozen
class RegisterRequest:
    """
    A registration.

    :param name: to serve the model by, or None for the archive's own.
    :param synchronous: whether the caller waits for the workers.
    :param signed: the archive is fetched from S3 with a signature.
    :param sha256: the hexadecimal SHA-256 that the archive must have, or None.
    :param start_up: it is a model of the server's start, not of the API: it may lie outside the store.
    :param is_kept: the archive was downloaded from the URL by a server before this one, and is in the store.
    :param fallback_name: to serve the model by where nobody else names it, or None.
    :param version: to serve the model as, or None for the archive's own.
    :param workflow: the workflow that the version is to be a node of, or None.
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
    version: str | None = None
    workflow: str | None = None


@frozen
class ScaleRequest:
    """
    How many workers a version is to have.

    :param version: None for the default one.
    :param gpu_workers: how many of the new workers get a GPU; None: as the version's settings say.
    :param synchronous: whether the caller waits for the workers.
    :param drain: seconds that those who leave may take to finish; None: as long as it takes.
    :param has_maximum: whether the caller has named the maximum.
    :param settings: how the server is to decide the number, where the caller says something about it.
    """

    name: str
    version: str | None = None
    minimum: int = 1
    maximum: int = 1
    gpu_workers: int | None = None
    synchronous: bool = False
    drain: float | None = None
    has_maximum: bool = True
    settings: SettingValues = field(factory=dict)


@frozen
class Page:
    """A part of the list of models: at most ``limit`` models from ``offset`` on."""

    limit: int
    offset: int

    @classmethod
    def of(cls, limit: int | None, offset: int | None) -> Page:
        """
        Return the page that a caller means by numbers that may be absent or out of range.

        :param limit: ``MOST_LISTED`` if it is absent, negative or larger.
        :param offset: 0 if it is absent or negative.
        """
        if limit is None or not 0 <= limit <= MOST_LISTED:
            limit = MOST_LISTED
        return cls(limit, max(0, offset or 0))


def worker_range(minimum: int | None, maximum: int | None) -> tuple[int, int]:
    """
    Return the least and the most workers that a caller means by numbers that may be absent.

    :param minimum: 1 if it is absent.
    :param maximum: as many as the minimum if it is absent.
    :raises BadRequest: the maximum is below the minimum.
    """
    minimum = 1 if minimum is None else minimum
    maximum = minimum if maximum is None else maximum
    if maximum < minimum:
        raise BadRequest("max_worker cannot be less than min_worker.")
    return minimum, maximum
