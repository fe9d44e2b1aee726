"""Ways of handlers beside the plain one: sequences, job tickets, async functions, explanations in batches."""

from __future__ import annotations

import json
import threading

from tests.harness.server_process import Answer, ServerProcess, ServerTests, eventually

STATEFUL = """
import json
import os

totals = {}

def handle(data, context):
    if data is None:
        return None
    answers = []
    for place, row in enumerate(data):
        name = context.get_sequence_id(place)
        totals[name] = totals.get(name, 0) + int(bytes(row["body"]))
        context.set_response_header(place, "ts_request_sequence_id", name)
        started = context.get_request_header(place, "ts_request_sequence_start")
        answers.append(json.dumps({"total": totals[name], "pid": os.getpid(), "started": started}))
    return answers
"""
ASYNC = """
import asyncio

class Handler:
    async def initialize(self, context):
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()

    async def handle(self, data, context):
        await asyncio.sleep(0)
        return [type(asyncio.get_running_loop()).__name__ for row in data]
"""
WAITING = """
import os
import time

def handle(data, context):
    if data is None:
        return None
    flag = bytes(data[0]["body"]).decode()
    open(flag + ".begun", "w").close()
    while not os.path.exists(flag):
        time.sleep(0.01)
    return ["done"] * len(data)
"""
KINDS = """
import json

def handle(data, context):
    if data is None:
        return None
    kinds = [context.get_request_header(place, "explain") for place in range(len(data))]
    return [json.dumps(kinds)] * len(data)
"""
SEQUENCES = (
    "sequenceBatching: true\nminWorkers: 2\nmaxWorkers: 2\nbatchSize: 1\nsequenceMaxIdleMSec: 60000\n"
    "maxNumSequence: 2\nmaxSequenceJobQueueSize: 10\n"
)
TOKENS_OFF = {"disable_token_authorization": "true", "enable_model_api": "true"}


class ModeTests(ServerTests):
    """Each in a server of its own."""

    def serve(self, source: str, config: str = "", **parameters: object) -> ServerProcess:
        server = self.start(TOKENS_OFF)
        file = server.folder / "model-config.yaml"
        file.write_text(config)
        self.add_model(server, "m", source, **({"config_file": str(file)} if config else {}))
        self.assert_ok(server.register("m.mar", **parameters))
        return server

    def add(self, server: ServerProcess, number: int, sequence: str | None) -> Answer:
        headers = {} if sequence is None else {"ts_request_sequence_id": sequence}
        return server.inference("POST", "/predictions/m", str(number).encode(), headers)

    def test_sequences_keep_their_worker_and_its_state(self) -> None:
        server = self.serve(STATEFUL, SEQUENCES)
        totals: dict[str, list[int]] = {"a": [], "b": []}
        pids: dict[str, set[int]] = {"a": set(), "b": set()}
        for number in (1, 2, 3):
            for sequence in "ab":
                told = self.add(server, number, sequence).json()
                totals[sequence].append(told["total"])
                pids[sequence].add(told["pid"])
        self.assertEqual(totals, {"a": [1, 3, 6], "b": [1, 3, 6]})
        self.assertEqual([len(pids["a"]), len(pids["b"]), len(pids["a"] & pids["b"])], [1, 1, 0])
        refused = self.add(server, 1, "c")
        self.assertEqual(refused.status, 503)
        self.assertEqual(refused.json()["limit"], "maxNumSequence")
        self.assertIn("If this is a sequence inference", refused.json()["message"])

    def test_sequence_header_may_have_another_name(self) -> None:
        server = self.start({**TOKENS_OFF, "ts_header_key_sequence_id": "X-Session"})
        file = server.folder / "model-config.yaml"
        file.write_text(SEQUENCES)
        self.add_model(server, "m", STATEFUL, config_file=str(file))
        self.assert_ok(server.register("m.mar"))
        for total in (1, 2):
            answer = server.inference("POST", "/predictions/m", b"1", {"X-Session": "mine"})
            self.assertEqual(answer.headers["ts_request_sequence_id"], "mine")
            self.assertEqual(answer.json()["total"], total)

    def test_sequence_without_a_name_is_given_one(self) -> None:
        server = self.serve(STATEFUL, SEQUENCES)
        first = self.add(server, 1, None)
        name = first.headers["ts_request_sequence_id"]
        self.assertTrue(name.startswith("ts-seq-"), name)
        self.assertEqual(first.json()["started"], "true")
        second = self.add(server, 2, name)
        self.assertEqual((second.json()["total"], second.json()["started"]), (3, None))

    def test_async_handler(self) -> None:
        server = self.serve(ASYNC)
        self.assertTrue(server.predict("m").text.endswith("EventLoop"))

    def test_job_ticket_is_needed_for_each_request(self) -> None:
        server = self.serve(WAITING, "useJobTicket: true\n")
        flag = server.folder / "flag"
        answers: list[Answer] = []
        first = threading.Thread(target=lambda: answers.append(server.predict("m", str(flag).encode())))
        first.start()
        eventually((server.folder / "flag.begun").exists)
        refused = server.predict("m", b"never")
        self.assertEqual((refused.status, refused.json()["limit"]), (503, "job ticket"))
        flag.touch()
        first.join(60)
        self.assertEqual([answer.text for answer in answers], ["done"])

    def test_explanations_do_not_share_a_batch_with_predictions(self) -> None:
        server = self.serve(KINDS, batch_size=4, max_batch_delay=300)
        paths = ["/predictions/m", "/explanations/m"] * 2
        answers: dict[int, list[str]] = {}

        def ask(place: int) -> None:
            answers[place] = json.loads(server.inference("POST", paths[place], b"x").body)

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for place, kinds in answers.items():
            self.assertEqual(set(kinds), {str("explanations" in paths[place])})

    def test_keys_without_effect_are_named_in_the_log(self) -> None:
        server = self.serve(KINDS, "continuousBatching: true\nasyncCommunication: true\n")
        self.assertIn("asyncCommunication has no effect with continuousBatching", server.log)
