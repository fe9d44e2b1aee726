"""Continuous batching, asynchronous handlers and their sequences in a real server, in TorchServe's manner."""

from __future__ import annotations

import json
import socket
import threading
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest import TestCase

import pytest

from modelserver.archive.pack import PackRequest, pack
from tests.harness.server_process import HOST, LONGEST, Answer, ServerProcess, eventually

pytestmark = pytest.mark.xdist_group("inference-modes")

TOKENS = '''
"""A language model whose tokens are its prompt's first letter and a number."""

import json
import os
import time

from ts.torch_handler.base_handler import BaseHandler


class TokenHandler(BaseHandler):
    def initialize(self, ctx):
        self.context = ctx
        ctx.cache = {}
        self.initialized = True

    def preprocess(self, data):
        for idx, (req_id, row) in enumerate(zip(self.context.request_ids.values(), data)):
            headers = self.context.get_all_request_header(idx)
            if req_id not in self.context.cache:
                asked = json.loads(row["body"])
                criterion = self.stopping_criterion(req_id, asked)
                self.context.cache[req_id] = {"asked": asked, "count": 0, "stopping_criteria": criterion}
            else:
                assert not row and headers["X-Kept"] == "yes", (row, headers)
        for gone in set(self.context.cache) - set(self.context.request_ids.values()):
            open(self.context.cache.pop(gone)["asked"]["prompt"] + ".gone", "w").close()
        return list(self.context.request_ids.values())

    def inference(self, ids):
        time.sleep(0.005)
        results = []
        for req_id in ids:
            state = self.context.cache[req_id]
            state["count"] += 1
            if state["asked"].get("dies") == state["count"]:
                os._exit(3)
            results.append({"text": f"{state['asked']['prompt'][0]}{state['count']}", "live": len(ids)})
        return results

    def postprocess(self, results):
        self.context.stopping_criteria = [
            self.context.cache[req_id]["stopping_criteria"] for req_id in self.context.request_ids.values()
        ]
        return results

    def stopping_criterion(self, req_id, asked):
        def is_finished(result):
            if self.context.cache[req_id]["count"] < asked.get("tokens", 1):
                return False
            if "until" in asked and not os.path.exists(asked["until"]):
                return False
            del self.context.cache[req_id]
            return True

        return is_finished
'''
TOGETHER = '''
"""Answers when as many requests are in hand as the first one says."""

import asyncio
import json

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.torch_handler.base_handler import BaseHandler


class Together(BaseHandler):
    def initialize(self, ctx):
        self.loop = asyncio.get_event_loop()
        self.changed = self.loop.run_until_complete(self.condition())
        self.here = 0
        self.initialized = True

    async def condition(self):
        return asyncio.Condition()

    async def handle(self, data, context):
        assert len(data) == 1 and asyncio.get_running_loop() is self.loop
        asked = json.loads(data[0]["body"])
        if asked.get("fails"):
            raise ValueError("alone")
        async with self.changed:
            self.here += 1
            self.changed.notify_all()
            if asked.get("streams"):
                send_intermediate_predict_response(["first;"], context.request_ids, "Result", 200, context)
            await self.changed.wait_for(lambda: self.here >= asked["count"])
        return [context.get_request_id(0)]
'''
STATEFUL = '''
"""Sums of sequences; a request with an odd number is answered in three parts."""

from ts.torch_handler.base_handler import BaseHandler


class StatefulHandler(BaseHandler):
    def initialize(self, ctx):
        self.context = ctx
        ctx.cache = {}
        self.sums = {}
        self.initialized = True

    def preprocess(self, data):
        results = []
        for idx, row in enumerate(data):
            name = self.context.get_sequence_id(idx)
            self.context.set_response_header(idx, self.context.header_key_sequence_id, name)
            if self.context.get_request_header(idx, self.context.header_key_sequence_start):
                self.sums.setdefault(name, 0)
            req_id = self.context.get_request_id(idx)
            if req_id not in self.context.cache:
                number = int(row["body"].decode())
                self.context.cache[req_id] = {"parts": 3 if number % 2 else None}
                self.sums[name] += number
                if number == 0:
                    self.context.set_response_header(idx, self.context.header_key_sequence_end, name)
            results.append(f"{self.sums[name]} ")
        return results

    def inference(self, results):
        return results

    def postprocess(self, results):
        self.context.stopping_criteria = [
            self.stopping_criterion(req_id) for req_id in self.context.request_ids.values()
        ]
        return results

    def stopping_criterion(self, req_id):
        def is_finished(result):
            state = self.context.cache[req_id]
            if state["parts"] is None:
                return None
            state["parts"] -= 1
            return state["parts"] == 0

        return is_finished
'''
MODELS = {
    "tokens": (TOKENS, "continuousBatching: true\nbatchSize: 4\n"),
    "together": (TOGETHER, "asyncCommunication: true\n"),
    "stateful": (
        STATEFUL,
        "continuousBatching: true\nsequenceBatching: true\nbatchSize: 2\nsequenceMaxIdleMSec: 60000\n"
        "maxNumSequence: 2\nmaxSequenceJobQueueSize: 4\n",
    ),
}


class InferenceModeTests(TestCase):
    """One worker for each of three models."""

    server: ClassVar[ServerProcess]

    @classmethod
    def setUpClass(cls) -> None:
        """Start one server for all."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "default_workers_per_model": "1",
        }
        models = [f"{name}={name}.mar" for name in MODELS]
        cls.server = server = ServerProcess(Path(folder.name), properties, ["--models", ",".join(models)])
        server.store.mkdir()
        for name, (source, config) in MODELS.items():
            handler, settings = server.folder / f"{name}.py", server.folder / f"{name}.yaml"
            handler.write_text(source)
            settings.write_text(config)
            pack(
                PackRequest(
                    name,
                    version="1.0",
                    handler=str(handler),
                    config_file=str(settings),
                    export_path=server.store,
                )
            )
        server.start()
        cls.addClassCleanup(server.end)
        for name in MODELS:
            eventually(lambda name=name: b"READY" in server.management("GET", f"/models/{name}").body)  # type: ignore[misc]  # it has defaults

    # Continuous batching.

    def ask(self, **asked: object) -> HTTPResponse:
        """Ask for tokens; returns when the first part is here."""
        connection = HTTPConnection(HOST, self.server.ports[0], timeout=LONGEST)
        self.addCleanup(connection.close)
        connection.request("POST", "/predictions/tokens", json.dumps(asked), {"X-Kept": "yes"})
        return connection.getresponse()

    def parts(self, response: HTTPResponse) -> list[dict[str, object]]:
        """All parts of an answer, to its end."""
        text, found, at = response.read().decode(), [], 0
        while at < len(text):
            part, at = json.JSONDecoder().raw_decode(text, at)
            found.append(part)
        return found

    def test_late_joiner_is_answered_before_the_first_is(self) -> None:
        flag = self.server.folder / "late"
        first = self.ask(prompt="first", tokens=3, until=str(flag))
        self.assertEqual(first.getheader("ts_stream_next"), "true")
        self.assertEqual(first.getheader("transfer-encoding"), "chunked")
        late = self.parts(self.ask(prompt="late", tokens=3))
        self.assertEqual([part["text"] for part in late], ["l1", "l2", "l3"])
        self.assertEqual({part["live"] for part in late}, {2})
        flag.touch()
        texts = [str(part["text"]) for part in self.parts(first)]
        self.assertGreater(len(texts), 3)
        self.assertEqual(texts, [f"f{number}" for number in range(1, len(texts) + 1)])

    def test_answer_of_one_token(self) -> None:
        response = self.ask(prompt="one", tokens=1)
        self.assertEqual(response.getheader("ts_stream_next"), "false")
        self.assertEqual([part["text"] for part in self.parts(response)], ["o1"])

    def test_client_that_leaves_is_not_live_any_more(self) -> None:
        gone = Path(f"{self.server.folder}/leaver.gone")
        leaver = self.ask(prompt=str(gone)[:-5], tokens=1_000_000)
        stayer = self.ask(prompt="stayer", until=str(gone))
        assert leaver.fp is not None
        leaver.fp.raw._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # the connection's socket
        leaver.close()
        live = [part["live"] for part in self.parts(stayer)]
        self.assertEqual(live[-1], 1)
        self.assertTrue(gone.exists())

    def test_worker_that_dies(self) -> None:
        flag = self.server.folder / "dies"
        begun = self.ask(prompt="begun", until=str(flag))
        killer = self.server.inference(
            "POST", "/predictions/tokens", b'{"prompt": "killer", "dies": 1}', {"X-Kept": "yes"}
        )
        self.assertEqual(killer.status, 500)
        with self.assertRaises(HTTPException):
            begun.read()
        eventually(lambda: b"READY" in self.server.management("GET", "/models/tokens").body)
        self.assertEqual([part["text"] for part in self.parts(self.ask(prompt="new"))], ["n1"])

    # An asynchronous handler.

    def test_ten_are_at_work_together(self) -> None:
        bodies = [json.dumps({"count": 10}).encode()] * 10
        answers = self.server.predict_together("together", bodies)
        self.assertEqual([answer.status for answer in answers], [200] * 10)
        for answer in answers:
            self.assertEqual(answer.text, answer.headers["x-request-id"])
        failed = self.server.predict("together", b'{"fails": true}')
        self.assertEqual((failed.status, failed.json()["text"]), (503, "alone"))
        connection = HTTPConnection(HOST, self.server.ports[0], timeout=LONGEST)
        self.addCleanup(connection.close)
        connection.request("POST", "/predictions/together", '{"count": 12, "streams": true}')
        streamed = connection.getresponse()
        self.assertEqual(streamed.read(6), b"first;")
        self.assertEqual(self.server.predict("together", b'{"count": 12}').status, 200)
        self.assertEqual(streamed.read().decode(), streamed.getheader("x-request-id"))

    # Sequences.

    def add(self, number: int, sequence: str | None = None) -> Answer:
        headers = {} if sequence is None else {"ts_request_sequence_id": sequence}
        return self.server.inference("POST", "/predictions/stateful", str(number).encode(), headers)

    def begin(self) -> str:
        """Begin a sequence; returns its id."""
        answer = self.add(2)
        self.assertEqual((answer.status, answer.text), (200, "2 "))
        return answer.headers["ts_request_sequence_id"]

    def test_sequences_are_answered_in_parts_and_end(self) -> None:
        first, second = self.begin(), self.begin()
        results: dict[str, list[str]] = {}

        def add_all(sequence: str, *numbers: int) -> None:
            results[sequence] = [self.add(number, sequence).text for number in numbers]

        threads = [
            threading.Thread(target=add_all, args=(sequence, *numbers))
            for sequence, numbers in ((first, (4, 5, 6)), (second, (1, 8, 2)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST)
        self.assertEqual(results[first], ["6 ", "11 11 11 ", "17 "])
        self.assertEqual(results[second], ["3 3 3 ", "11 ", "13 "])
        self.assertEqual(self.add(2).status, 503)  # two sequences are all that may be
        for sequence in (first, second):
            ended = self.add(0, sequence)
            self.assertEqual(ended.headers["ts_request_sequence_end"], sequence)
        self.begin()
