"""Models that do to their workers whatever a request says."""

from __future__ import annotations

import threading

from tests.harness.faults import OBEY, WatchedServer
from tests.harness.server_process import (
    Answer,
    ServerTests,
)

PACKER = ServerTests("add_model")


def serve(server: WatchedServer, model: str, workers: int = 1, config: str = "", **more: object) -> None:
    """Register the obedient model under this name."""
    archive = "obey.mar"
    if config:
        file = server.folder / f"{model}.yaml"
        file.write_text(config)
        archive = PACKER.add_model(server, model, OBEY, config_file=str(file)).name
    answer = server.register(archive, model_name=model, initial_workers=workers, **more)
    assert answer.status == 200, answer.text


def say(server: WatchedServer, model: str, order: str) -> Answer:
    """Give an order to a worker of the model."""
    return server.predict(model, order.encode())


def in_background(
    server: WatchedServer, model: str, orders: list[str]
) -> tuple[list[Answer], threading.Thread]:
    """Give several orders at the same time; the answers come into the list in the end."""
    answers: list[Answer] = []

    def give() -> None:
        answers.extend(server.predict_together(model, [order.encode() for order in orders]))

    thread = threading.Thread(target=give)
    thread.start()
    return answers, thread
