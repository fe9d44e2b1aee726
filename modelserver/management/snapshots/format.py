"""The format of snapshots: their JSON, the properties file around it, their file names and their folder."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from pathlib import Path

import javaproperties
from attrs import field

from modelserver.language.attributes import frozen
from modelserver.management.requests import VersionOverrides
from modelserver.management.snapshots.autoscaling import (
    parse_autoscaling,
    render_autoscaling,
    take_autoscaling,
)
from modelserver.management.snapshots.given import SECTION as GIVEN
from modelserver.management.snapshots.given import parse_given, render_given, take_given
from modelserver.management.snapshots.values import (
    SnapshotInvalid,
    archive_name,
    count_of,
    flag_of,
    number_of,
    object_of,
    text_of,
)
from modelserver.management.snapshots.workflows import (
    NodeWorkers,
    SnapshotWorkflow,
    parse_workflows,
    render_workflows,
    take_workflows,
)
from modelserver.management.workflows.requests import RegisteredWorkflow
from modelserver.sources.urls import is_remote
from modelserver.spec import AWAY, VersionDescription
from modelserver.version_settings.setting import SettingValues
from modelserver.version_settings.table import default_of
from modelserver.version_settings.values import AUTO_DELAY
from modelserver.workflows.spec import NodeModel

STARTUP, CHANGED, SHUTDOWN = "startup", "snapshot", "shutdown"
"""The occasions of snapshots, as their names show them."""

_NAME = re.compile(r"\d{17}-(?:startup|snapshot|shutdown)\.cfg")
_MILLISECOND = 0.001
_AUTO = "maxBatchDelayAuto"
"""Says that the server chooses the delay; TorchServe neither writes nor reads it."""
_DEFAULT_TIMEOUT = 120.0


@frozen
class SnapshotVersion:
    """
    One version in a snapshot. Durations are seconds.

    :param archive: the archive's file name (``marName``) in the model store.
    :param autoscaling: whether and how the server decides the number of workers; None: it never did. What it
        has decided is not kept.
    :param url: the URL that the archive was downloaded from (``modelUrl``, which TorchServe neither writes
        nor reads); empty for an archive that the operator has put into the store.
    :param given: what else its registration gave (``parameters``, likewise).
    :param handler: that its registration named, None: the archive's (``handler``, likewise).
    :param is_on_request: it was not in memory, and comes when it is asked (``loadOnRequest``, likewise).
    """

    archive: str
    is_default: bool = False
    min_workers: int = 1
    max_workers: int = 1
    batch_size: int = 1
    max_batch_delay: float = 0.1
    response_timeout: float = _DEFAULT_TIMEOUT
    startup_timeout: float = _DEFAULT_TIMEOUT
    runtime: str = "python"
    parallel_level: int = 0
    url: str = ""
    autoscaling: SettingValues | None = None
    is_on_request: bool = False
    given: SettingValues = field(factory=dict)
    handler: str | None = None

    def overrides(self) -> VersionOverrides:
        """Return the overrides of the registration that restores this version; they go before all else."""
        return VersionOverrides(
            handler=self.handler,
            runtime=self.runtime,
            settings={
                "batch_size": self.batch_size,
                "max_batch_delay": self.max_batch_delay,
                "response_timeout": self.response_timeout,
                "startup_timeout": self.startup_timeout,
                "min_workers": self.min_workers,
                "max_workers": self.max_workers,
                **self.given,
                **(self.autoscaling or {}),
            },
        )


@frozen
class Snapshot:
    """
    The models that were registered at one moment.

    :param name: the snapshot's file name.
    :param created: seconds since the epoch.
    :param models: for each model, for each version, its values.
    :param workflows: for each workflow, for each version, its values; none in a snapshot of TorchServe's.
    """

    name: str
    created: float
    models: Mapping[str, Mapping[str, SnapshotVersion]]
    workflows: Mapping[str, Mapping[str, SnapshotWorkflow]] = field(factory=dict)

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to restore."""
        return not self.models and not self.workflows


def take_snapshot(
    name: str,
    created: float,
    versions: Iterable[VersionDescription],
    workflows: Iterable[RegisteredWorkflow] = (),
) -> Snapshot:
    """Describe registered versions as a snapshot; those of nodes come back with their workflows."""
    models: dict[str, dict[str, SnapshotVersion]] = {}
    of_nodes: dict[NodeModel, NodeWorkers] = {}
    for version in versions:
        spec = version.spec
        if spec.workflow is not None:
            bounds = (spec.workers.minimum, max(spec.workers.minimum, spec.workers.maximum))
            of_nodes[NodeModel(spec.name, spec.version)] = NodeWorkers(*bounds, take_autoscaling(version))
            continue
        is_away = version.presence in AWAY
        workers = version.registered if is_away else spec.workers
        models.setdefault(spec.name, {})[spec.version] = SnapshotVersion(
            archive=archive_name(spec.url),
            is_default=version.is_default,
            min_workers=workers.minimum,
            max_workers=workers.maximum,
            batch_size=spec.batching.size,
            max_batch_delay=spec.batching.max_delay,
            response_timeout=spec.timeouts.response,
            startup_timeout=spec.timeouts.startup,
            runtime=spec.runtime,
            parallel_level=spec.devices.parallel_level,
            url=spec.url if is_remote(spec.url) else "",
            autoscaling=take_autoscaling(version),
            is_on_request=is_away,
            given=take_given(version),
            handler=spec.given_handler,
        )
    return Snapshot(name, created, models, take_workflows(workflows, of_nodes))


def parse_snapshot(text: str) -> Snapshot:
    """
    Read the JSON of ``model_snapshot``, whoever wrote it.

    :raises SnapshotInvalid: the text is not JSON, or a value has a wrong type.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotInvalid(f"not JSON: {error}") from error
    top = object_of(document, "model_snapshot")
    models = object_of(top.get("models", {}), "models")
    if number_of(top, "modelCount", len(models), "model_snapshot") <= 0:
        models = {}
    return Snapshot(
        name=text_of(top, "name", "", "model_snapshot"),
        created=number_of(top, "created", 0, "model_snapshot") * _MILLISECOND,
        models={
            name: {
                version: _parse_version(object_of(values, f"{name} {version}"), f"{name} {version}")
                for version, values in object_of(versions, name).items()
            }
            for name, versions in models.items()
        },
        workflows=parse_workflows(object_of(top.get("workflows", {}), "workflows")),
    )


def _parse_version(values: Mapping[str, object], where: str) -> SnapshotVersion:
    least = count_of(values, "minWorkers", 1, where)
    return SnapshotVersion(
        archive=archive_name(text_of(values, "marName", None, where)),
        is_default=flag_of(values, "defaultVersion", where),
        min_workers=least,
        max_workers=max(least, count_of(values, "maxWorkers", least, where)),
        batch_size=max(1, count_of(values, "batchSize", 1, where)),
        max_batch_delay=AUTO_DELAY
        if flag_of(values, _AUTO, where)
        else count_of(values, "maxBatchDelay", 100, where) * _MILLISECOND,
        response_timeout=float(count_of(values, "responseTimeout", 0, where)) or _DEFAULT_TIMEOUT,
        startup_timeout=float(count_of(values, "startupTimeout", 0, where)) or _DEFAULT_TIMEOUT,
        runtime=text_of(values, "runtimeType", "python", where),
        parallel_level=count_of(values, "parallelLevel", 0, where),
        autoscaling=parse_autoscaling(values, where),
        url=text_of(values, "modelUrl", "", where),
        is_on_request=flag_of(values, "loadOnRequest", where),
        given=parse_given(values, where),
        handler=text_of(values, "handler", "", where) or None,
    )


def render_snapshot(snapshot: Snapshot) -> str:
    """Write the JSON of ``model_snapshot``; ``parse_snapshot`` and TorchServe read it."""
    document: dict[str, object] = {
        "name": snapshot.name,
        "modelCount": sum(map(len, snapshot.models.values())),
        "created": round(snapshot.created / _MILLISECOND),
        "models": {
            name: {version: _render_version(values) for version, values in versions.items()}
            for name, versions in snapshot.models.items()
        },
    }
    if snapshot.workflows:
        document["workflows"] = render_workflows(snapshot.workflows)
    return json.dumps(document, indent=2)


def _render_version(values: SnapshotVersion) -> dict[str, object]:
    is_auto = values.max_batch_delay == AUTO_DELAY
    # TorchServe reads a number there: its own default.
    delay = default_of("max_batch_delay") if is_auto else values.max_batch_delay
    document: dict[str, object] = {
        "defaultVersion": values.is_default,
        "marName": values.archive,
        "minWorkers": values.min_workers,
        "maxWorkers": values.max_workers,
        "batchSize": values.batch_size,
        "maxBatchDelay": round(delay / _MILLISECOND),
        "responseTimeout": round(values.response_timeout),
        "startupTimeout": round(values.startup_timeout),
        "runtimeType": values.runtime,
    }
    if is_auto:
        document[_AUTO] = True
    if values.parallel_level > 0:
        document["parallelLevel"] = values.parallel_level
    if values.url:
        document["modelUrl"] = values.url
    if values.handler is not None:
        document["handler"] = values.handler
    if values.autoscaling is not None:
        document["autoscaling"] = render_autoscaling(values.autoscaling)
    if values.is_on_request:
        document["loadOnRequest"] = True
    if values.given:
        document[GIVEN] = render_given(values.given)
    return document


def render_file(properties: Mapping[str, str], snapshot: Snapshot, zone: tzinfo | None = None) -> str:
    """
    Write a whole snapshot file: every effective property, and the snapshot.

    The file is itself a configuration file, for this server and for TorchServe.

    :param zone: the time zone of the date in the file; None: the system's.
    """
    when = datetime.fromtimestamp(snapshot.created, zone).astimezone(zone)
    text = javaproperties.dumps(
        {**properties, "model_snapshot": render_snapshot(snapshot)},
        timestamp=when,
        comments="Saving snapshot",
        sort_keys=True,
    )
    return str(text)


def snapshot_name(occasion: str, created: float, zone: tzinfo | None = None) -> str:
    """
    Name a snapshot: the moment, to the millisecond, and the occasion.

    :param created: seconds since the epoch.
    :param zone: the time zone; None: the system's, as in TorchServe's names, which are compared with these.
    """
    when = datetime.fromtimestamp(created, zone)
    return f"{when:%Y%m%d%H%M%S}{when.microsecond // 1000:03}-{occasion}.cfg"


def write_snapshot(folder: Path, name: str, text: str) -> bool:
    """
    Write a snapshot into the folder, whole or not at all. Blocks.

    Only the owner may read it, since it holds passwords.

    :returns: whether the snapshot was written: an existing file of this name stays as it is.
    """
    target = folder / name
    if target.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=folder)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def newest_snapshot(folder: Path) -> Path | None:
    """Return the snapshot with the newest name, as TorchServe does, or None; other files are ignored."""
    return max(_snapshots(folder), default=None)


def remove_oldest(folder: Path, kept: int, source: Path | None = None) -> None:
    """
    Remove all snapshots but those with the ``kept`` newest names, which are the ones to come back to. Blocks.

    :param source: a snapshot that stays in any case.
    """
    for path in sorted(_snapshots(folder))[:-kept]:
        if source is None or path.resolve() != source.resolve():
            path.unlink(missing_ok=True)


def _snapshots(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
