"""A handler in a real worker of a real server on the loopback interface."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from modelserver.cli.client.http import Client
from modelserver.cli.local_server import HOST, ChildServer, ServerFailed, ports_from, write_options
from modelserver.language.attributes import frozen
from modelserver.testing.model_folder import ModelFolder
from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest

START_SECONDS, LOAD_SECONDS, ANSWER_SECONDS = 60.0, 300.0, 120.0


@frozen
class WorkerModel:
    """
    A model that a server serves.

    :param path: of its predictions.
    """

    port: int
    path: str

    def predict(self, request: ModelRequest) -> ModelReply:
        """
        Have one request answered.

        :raises OSError: the server does not answer.
        """
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(
                "POST", self.path + request.query_string, request.body, dict(request.all_headers)
            )
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return ModelReply(answer.status, answer.read(), headers)
        finally:
            connection.close()

    def predict_batch(self, requests: Sequence[ModelRequest]) -> list[ModelReply]:
        """Send requests at the same time; the server's settings decide which are one batch."""
        with ThreadPoolExecutor(max(1, len(requests))) as threads:
            return list(threads.map(self.predict, requests))


@contextmanager
def in_worker(
    folder: ModelFolder, *, properties: Mapping[str, object] | None = None, **settings: object
) -> Iterator[WorkerModel]:
    """
    Serve a model folder with one worker, until the end.

    :param properties: keys of ``config.properties``.
    :param settings: parameters of the registration, such as ``batch_size`` and ``max_batch_delay``.
    :raises ServerFailed: the server does not start, or refuses the model; the text has the reason.
    """
    with tempfile.TemporaryDirectory(prefix="modelserver-test-") as scratch:
        store = Path(scratch, "store")
        store.mkdir()
        (store / "model").symlink_to(folder.path)
        ports = ports_from(0)
        lines = "".join(f"{key}={value}\n" for key, value in (properties or {}).items())
        options = write_options(Path(scratch), store, ports, lines)
        with ChildServer(options, Path(scratch)) as server:
            try:
                server.wait_until_healthy(Client(HOST, ports.inference, START_SECONDS), START_SECONDS)
                _register(Client(HOST, ports.management, LOAD_SECONDS), folder.name, settings)
            except ServerFailed as failure:
                raise ServerFailed(f"{failure}\nThe end of its log:\n{server.last_lines()}") from failure
            yield WorkerModel(ports.inference, f"/predictions/{quote(folder.name, safe='')}")


def _register(management: Client, name: str, settings: Mapping[str, object]) -> None:
    given = {key: str(value) for key, value in settings.items() if value is not None}
    query = {"url": "model", "model_name": name, "initial_workers": "1", "synchronous": "true", **given}
    reply = management.ask("POST", f"/models?{urlencode(query)}")
    if reply.status != http.client.OK:
        raise ServerFailed(f"The model was refused ({reply.status}): {reply.message}")
