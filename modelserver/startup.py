"""The models that a server loads when it starts."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from modelserver.config.load_models import StartupModel
from modelserver.config.settings import Settings
from modelserver.errors import ServingError
from modelserver.management import Management
from modelserver.registration import RegisterRequest

_log = Logger()
_ARCHIVES = (".mar", ".model", ".tar.gz")


async def load_models(settings: Settings, management: Management) -> list[str]:
    """
    Register what is to be loaded, some at a time; one that fails is logged and left out.

    :return: the locations that failed.
    """
    models = settings.load_models.models
    if settings.load_models.everything:
        models = tuple(StartupModel(None, name) for name in archives_in(settings.model_store))
    turns = DeferredSemaphore(max(1, settings.startup_parallelism))
    failed: list[str] = []

    async def load(model: StartupModel) -> None:
        _log.info("Loading initial model: {model}", model=str(model))
        try:
            spec = await management.register(_request(model, settings))
        except ServingError as error:
            failed.append(model.url)
            _log.error("Failed to load model: {model}: {error}", model=model.url, error=str(error))
        else:
            _log.info("Model {name} version {version} loaded.", name=spec.name, version=spec.version)

    await DeferredList(
        [turns.run(lambda model=model: Deferred.fromCoroutine(load(model))) for model in models],
        consumeErrors=True,
    )
    return failed


def _request(model: StartupModel, settings: Settings) -> RegisterRequest:
    return RegisterRequest(model.url, model.name, synchronous=True, start_up=True)


def archives_in(store: Path | None) -> list[str]:
    """The names of all archives and folders of a model store, without hidden ones."""
    if store is None or not store.is_dir():
        return []
    return sorted(
        entry.name
        for entry in store.iterdir()
        if not entry.name.startswith(".") and (entry.is_dir() or entry.name.endswith(_ARCHIVES))
    )


def name_of(location: str) -> str:
    """The name for a model whose archive has none: the last component, without its ending."""
    return re.sub(r"\W", "_", location.rstrip("/").rsplit("/", 1)[-1].split(".", 1)[0])
