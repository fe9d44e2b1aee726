"""What a worker process is told to load: the JSON document of LOAD and PRELOAD frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict, fields

from modelserver.language.attributes import frozen
from modelserver.protocol.plain_values import from_json, to_json

if TYPE_CHECKING:
    # For types only: worker processes start without the values that the server alone makes.
    from modelserver.spec import WorkerSettings, WorkerSpec


@frozen(kw_only=True)
class LoadRequest:
    """
    A model, and how its worker is to serve it.

    :param folder: of the unpacked archive.
    :param manifest: ``MAR-INF/MANIFEST.json`` as it was read, or None.
    :param config: ``model-config.yaml`` as it was read.
    :param mode: see ``VersionSpec.mode``.
    :param gpu_id: the device that the handler is told, or None for the CPU.
    :param worker: the worker's id, as shown to clients.
    :param search_path: folders for ``sys.path``, after the model's own.
    :param slot_size: bytes of a slot of the shared memory, 0 where there is none.
    :param dialect: ``torchserve`` or ``mms``.
    :param max_response_size: bytes that one answer may have.
    :param metrics_config: the path of a ``metrics.yaml``, or None.
    """

    name: str
    version: str
    folder: str
    handler: str
    envelope: str | None
    manifest: dict[str, object] | None
    config: dict[str, object]
    batch_size: int
    mode: str
    gpu_id: int | None
    worker: str
    search_path: Sequence[str]
    slot_size: int
    dialect: str
    decode_input_request: bool
    limit_max_image_pixels: bool
    max_response_size: int
    metrics_config: str | None

    @classmethod
    def for_worker(cls, spec: WorkerSpec, settings: WorkerSettings, slot_size: int) -> LoadRequest:
        """
        The request for one worker of this server.

        :param slot_size: bytes of a slot of the shared memory, 0 where there is none.
        """
        version = spec.version
        return cls(
            name=version.name,
            version=version.version,
            folder=str(version.folder),
            handler=version.handler,
            envelope=version.envelope,
            manifest=None if version.manifest is None else dict(version.manifest),
            config=dict(version.config),
            batch_size=version.batching.size,
            mode=version.mode,
            gpu_id=spec.gpu_id,
            worker=spec.id,
            search_path=version.start.search_path,
            slot_size=slot_size,
            dialect=settings.dialect,
            decode_input_request=settings.decode_input_request,
            limit_max_image_pixels=settings.limit_max_image_pixels,
            max_response_size=settings.max_response_size,
            metrics_config=settings.metrics_config,
        )

    def to_document(self) -> dict[str, object]:
        """The values by their names, for ``frames.pack_json``."""
        return {**asdict(self, recurse=False), "config": to_json(self.config)}

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> LoadRequest:
        """
        Read a document; other keys than the fields' are left to whoever knows them.

        :raises KeyError: a field is missing, which is a defect of the server.
        """
        values: dict[str, Any] = {field.name: document[field.name] for field in fields(cls)}
        values["config"] = from_json(values["config"])
        return cls(**values)
