"""
Takes the pictures of the dashboard for README and documents, from a running server.

``python -m tests.harness.dashboard_pictures`` starts a server with a few models, asks them for a while, and
writes ``docs/images/dashboard-light.png`` and ``dashboard-dark.png``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from modelserver.archive.pack import PackRequest, pack
from tests.harness.browser import browser, missing
from tests.harness.dashboard_models import ECHO, LOUD_PLAINLY, SLOW
from tests.harness.server_process import HOST, ROOT, ServerProcess, eventually

IMAGES = Path(ROOT) / "docs" / "images"
PROPERTIES = {
    "disable_token_authorization": "true",
    "enable_model_api": "true",
    "metric_time_interval": "5",
    "job_queue_size": "20",
}
MODELS = {"translate": ECHO, "digits": SLOW, "resnet-50": SLOW, "summarize": LOUD_PLAINLY}
BUSY = 75.0
"""Seconds that models are asked before the pictures: their charts are to show something."""


def main() -> None:
    """Take them all."""
    lack = missing()
    if lack is not None:
        raise SystemExit(lack)
    with TemporaryDirectory(prefix="modelserver-pictures-") as folder:
        server = ServerProcess(Path(folder), PROPERTIES)
        server.store.mkdir()
        for name, source in MODELS.items():
            handler = server.folder / f"{name.replace('-', '_')}_handler.py"
            handler.write_text(source)
            pack(PackRequest(name, version="1.0", handler=str(handler), export_path=server.store, force=True))
        server.start()
        try:
            _show(server)
        finally:
            server.end()


def _show(server: ServerProcess) -> None:
    for name in MODELS:
        server.register(f"{name}.mar", synchronous=str(name != "summarize").lower())
    server.scale("resnet-50", 2)
    ended = threading.Event()
    askers = [
        threading.Thread(target=_ask, args=(server, name, pause, ended.is_set), daemon=True)
        for name, pause in (
            ("translate", 0.02),
            ("digits", 0.03),
            ("resnet-50", 0.01),
            ("resnet-50", 0.01),
            ("resnet-50", 0.05),
        )
    ]
    for asker in askers:
        asker.start()
    ended.wait(BUSY)
    for scheme in ("light", "dark"):
        with browser(1280, 1300, is_dark=scheme == "dark") as driver:
            driver.get(f"http://{HOST}:{server.ports[1]}/dashboard")
            eventually(partial(driver.execute_script, "return document.documentElement.dataset.complete"))
            ended.wait(7.0)
            IMAGES.mkdir(exist_ok=True)
            driver.save_screenshot(str(IMAGES / f"dashboard-{scheme}.png"))
    ended.set()


def _ask(server: ServerProcess, name: str, pause: float, has_ended: Callable[[], bool]) -> None:
    while not has_ended():
        with suppress(OSError, HTTPException):
            server.predict(name, b"hello")
        time.sleep(pause)


if __name__ == "__main__":
    main()
