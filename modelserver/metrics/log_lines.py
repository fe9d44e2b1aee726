"""Metrics as lines of a log, in the format that tools for TorchServe and MMS read, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from modelserver.language.attributes import frozen
from modelserver.metrics.declarations import Declaration
from modelserver.metrics.series import Labels


class MetricLine(NamedTuple):
    """
    One value of a metric, for a log.

    :param dimensions: names and values, without the host's.
    :param timestamp: whole seconds since the epoch.
    :param request_id: one id, or several joined by commas, or empty.
    """

    name: str
    unit: str
    value: float | str
    dimensions: tuple[tuple[str, str], ...]
    hostname: str
    timestamp: int
    request_id: str = ""


@frozen
class MetricLog:
    """
    Writes values of metrics as lines.

    :param now: seconds since the epoch.
    :param write: takes each line.
    :param keeps_integers: an integer is written without a fraction, as Multi Model Server does.
    """

    hostname: str
    now: Callable[[], float]
    write: Callable[[MetricLine], object]
    keeps_integers: bool = False

    def tell(
        self,
        declaration: Declaration,
        labels: Labels,
        value: float | str,
        request_id: str = "",
        timestamp: float | None = None,
    ) -> None:
        """
        Write a value.

        :param labels: the values of the dimensions; where the last is missing, it is this host's name.
        :param timestamp: seconds since the epoch; None: now.
        """
        dimensions = declaration.dimensions
        is_ours = not labels or len(labels) < len(dimensions)
        self.write(
            MetricLine(
                name=declaration.name,
                unit=declaration.unit,
                value=value if self.keeps_integers or isinstance(value, str) else float(value),
                dimensions=tuple(zip(dimensions[:-1], labels, strict=False)),
                hostname=self.hostname if is_ours else labels[-1],
                timestamp=int(self.now() if timestamp is None else timestamp),
                request_id=request_id,
            )
        )


def as_text(line: MetricLine) -> str:
    """``Name.Unit:value|#Dimension:value,...|#hostname:h,requestID:ids,timestamp:seconds``."""
    dimensions = ",".join([f"{name}:{value}" for name, value in line.dimensions])
    request = f"requestID:{line.request_id}," if line.request_id else ""
    return (
        f"{line.name}.{line.unit}:{line.value}|#{dimensions}"
        f"|#hostname:{line.hostname},{request}timestamp:{line.timestamp}"
    )


def as_json(line: MetricLine) -> str:
    """Return the line as a JSON object, with the keys of TorchServe's JSON layout."""
    document: dict[str, object] = {
        "MetricName": line.name,
        "Value": line.value,
        "Unit": line.unit,
        "Dimensions": [{"Name": name, "Value": value} for name, value in line.dimensions],
        "HostName": line.hostname,
        "Timestamp": line.timestamp,
    }
    if line.request_id:
        document["RequestId"] = line.request_id
    return json.dumps(document)


def one_line(text: str) -> str:
    r"""Return text that cannot end a line or steer a terminal: control characters become ``\x0a`` etc."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() or char == "\t" else _shown(char) for char in text])


def _shown(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
