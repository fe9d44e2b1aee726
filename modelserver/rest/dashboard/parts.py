"""What the dashboard has of the server: made at the start, while what answers its page comes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelserver.core.registry import Registry
from modelserver.inference.predict import Inference
from modelserver.interfaces import InThread
from modelserver.language.attributes import frozen
from modelserver.rest.dashboard.assets import Asset
from modelserver.rest.dashboard.details import ConfiguredKey
from modelserver.rest.dashboard.viewers import Viewers


@frozen(eq=False, kw_only=True)
class DashboardParts:
    """
    What the dashboard has of the server; the same for every listener.

    :param store: the model store, or None.
    :param configuration: the configuration in force, without its secrets.
    """

    viewers: Viewers
    registry: Registry
    inference: Inference
    assets: Mapping[str, Asset]
    in_thread: InThread
    store: Path | None = None
    configuration: Sequence[ConfiguredKey] = ()
