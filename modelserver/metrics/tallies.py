"""What the request path adds to: a few numbers and lists, found with one look into a dictionary."""

from __future__ import annotations

from attrs import define, field

from modelserver.metrics.series import Observations

# The bounds of histograms of seconds, from a socket's round trip to the longest usual time-out.
SECONDS = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


def _seconds() -> Observations:
    return Observations(SECONDS)


def _sizes() -> Observations:
    return Observations(SIZES)


@define(eq=False)
class JobTally:
    """
    The jobs of one version that came with one way of naming it.

    :param asked: the version as clients named it, or ``default``.
    """

    model: str
    version: str
    asked: str
    queue: Observations = field(factory=_seconds, init=False)
    total: Observations = field(factory=_seconds, init=False)


@define(eq=False)
class BatchTally:
    """
    The batches of one version.

    :param prediction_time: of the last batch, in seconds, until it is told.
    """

    model: str
    version: str
    size: Observations = field(factory=_sizes, init=False)
    handler: Observations = field(factory=_seconds, init=False)
    outside: Observations = field(factory=_seconds, init=False)
    prediction_time: float | None = field(default=None, init=False)
