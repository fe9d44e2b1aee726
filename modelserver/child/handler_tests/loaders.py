"""Loads handlers as the peers' workers do: for handlers' own tests, and for programs that run a handler."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import ModuleType
from typing import Any
from uuid import uuid4

from modelserver.child.context import Context, EntryPoint
from modelserver.child.envelopes.select import wrap
from modelserver.child.handler_tests.service import MmsService, Service
from modelserver.child.handlers.model_service import SingleNodeService
from modelserver.child.handlers.weights import import_file, list_classes_from_module
from modelserver.child.loading.loader import import_handler, only_class
from modelserver.child.metrics.mms import MmsMetricsStore


class ModelLoader(ABC):
    """Makes a service of an unpacked archive."""

    @abstractmethod
    def load(
        self,
        model_name: str,
        model_dir: str,
        handler: str,
        gpu_id: int | None = None,
        batch_size: int | None = None,
    ) -> Service:
        """
        Import the handler and initialize it.

        :raises ImportError: there is no such module.
        :raises ValueError: it has neither the function nor exactly one class of its own.
        """

    @staticmethod
    def list_model_services(module: ModuleType, parent_class: type | None = None) -> list[type]:
        """The classes that a module itself defines; with ``parent_class``, only its subclasses."""
        return list_classes_from_module(module, parent_class)


class TsModelLoader(ModelLoader):
    """Loads handlers of TorchServe."""

    def load(
        self,
        model_name: str,
        model_dir: str,
        handler: str,
        gpu_id: int | None = None,
        batch_size: int | None = None,
        envelope: str | None = None,
        limit_max_image_pixels: bool = True,
        metrics_cache: Any = None,
    ) -> Service:
        """Import the handler and initialize it; ``envelope`` is the name of one, or None."""
        if metrics_cache is not None:
            metrics_cache.set_request_ids(str(uuid4()))
        entry, initialize = _entry_of(*import_handler(handler, model_dir))
        service = Service(
            model_name,
            model_dir,
            _manifest(model_dir, "MAR-INF"),
            wrap(envelope, entry) if envelope else entry,
            gpu_id,
            batch_size or 1,
            limit_max_image_pixels,
            metrics_cache,
        )
        initialize(service.context)
        return service


class MmsModelLoader(ModelLoader):
    """Loads handlers of Multi Model Server."""

    module: ModuleType

    def load(
        self,
        model_name: str,
        model_dir: str,
        handler: str,
        gpu_id: int | None = None,
        batch_size: int | None = None,
    ) -> Service:
        """Import the handler and initialize it."""
        self.module, function = import_handler(handler, model_dir)
        entry, initialize = _entry_of(self.module, function)
        manifest = _manifest(model_dir, "MAR-INF")
        service = MmsService(model_name, model_dir, manifest, entry, gpu_id, batch_size or 1)
        service.context.metrics = MmsMetricsStore(str(uuid4()), model_name)
        initialize(service.context)
        return service

    def unload(self) -> None:
        """Drop the names of the handler's module, but for ``logging``: objects have last words to say."""
        for name in [name for name in vars(self.module) if name != "logging" and not name.startswith("__")]:
            delattr(self.module, name)
        del self.module


class LegacyModelLoader(ModelLoader):
    """Loads the services of the oldest archives."""

    def load(
        self,
        model_name: str,
        model_dir: str,
        handler: str,
        gpu_id: int | None = None,
        batch_size: int | None = None,
    ) -> Service:
        """Import the service's file and initialize its class."""
        file = os.path.join(model_dir, handler if handler.endswith(".py") else f"{handler}.py")
        manifest = _manifest(model_dir)
        made: Any = only_class(import_file(file), SingleNodeService)
        model = made(model_name, model_dir, manifest, gpu_id)
        service = MmsService(model_name, model_dir, manifest, model.handle, gpu_id, batch_size or 1)
        model.initialize(service.context)
        return service


def _entry_of(module: ModuleType, function: str) -> tuple[EntryPoint, Callable[[Context], object]]:
    """The entry point of a handler's module, and what initializes it."""
    entry: Any = getattr(module, function, None)
    if entry is not None:
        return entry, lambda context: entry(None, context)
    handler: Any = only_class(module)()
    initialize = getattr(handler, "initialize", None)
    return handler.handle, initialize or (lambda context: None)


def _manifest(*folders: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(*folders, "MANIFEST.json"), encoding="utf-8") as file:
            manifest: dict[str, Any] = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return manifest
