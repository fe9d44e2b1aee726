"""``serve``: a handler at work, for tests of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from modelserver.testing.in_process import in_process
from modelserver.testing.in_worker import in_worker
from modelserver.testing.model_folder import model_folder
from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest


class ServedModel(Protocol):
    """A handler that answers requests, wherever it runs."""

    def predict(self, request: ModelRequest) -> ModelReply:
        """Have one request answered."""

    def predict_batch(self, requests: Sequence[ModelRequest]) -> list[ModelReply]:
        """Have several answered together."""


@contextmanager
def serve(
    handler: str | Path,
    *,
    worker: bool = False,
    config: Mapping[str, object] | None = None,
    batch_size: int | None = None,
    envelope: str | None = None,
    **settings: object,
) -> Iterator[ServedModel]:
    """
    Serve a handler while the ``with`` statement lasts.

    Bodies are decoded, the handler is called, and its answers are encoded as in a worker; errors are answers
    in TorchServe's words. By default all of it happens in the caller's process: no server, no socket.

    :param handler: an archive, the folder of a project, or a handler's file with those beside it.
    :param worker: serve it by a real worker of a real server on the loopback interface, on free ports.
    :param config: goes before ``model-config.yaml``, key by key; so does ``envelope`` before the manifest's.
        Only without a worker, which reads the files.
    :param batch_size: None: 1.
    :param settings: without a worker, ``gpu_id``, ``dialect``, ``max_response_size``; with one,
        ``properties`` (keys of ``config.properties``) and parameters of the registration.
    :raises ArchiveInvalid: there is no handler, or the archive is none.
    :raises ServerFailed: the worker cannot load it.
    :raises Exception: without a worker, what the handler's import or ``initialize`` raises.
    :raises TypeError: there is no such setting, or it has no meaning there.
    """
    with model_folder(handler) as folder:
        if not worker:
            sizes = {"batch_size": batch_size or 1, "envelope": envelope, "config": config}
            with in_process(folder, **sizes, **settings) as model:  # type: ignore[arg-type]  # checked by what takes them
                yield model
            return
        if config is not None or envelope is not None:
            raise TypeError("config and envelope are for handlers in this process: a worker reads the files")
        with in_worker(folder, batch_size=batch_size, **settings) as served:  # type: ignore[arg-type]  # likewise
            yield served
