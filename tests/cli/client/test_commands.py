"""The commands that ask a running server: what they send, what they print, and how they end."""

from __future__ import annotations

import json
import subprocess
from shutil import which
from unittest import TestCase, skipUnless

from modelserver.cli.client.completion import SHELLS, commands_of, script
from modelserver.cli.client.connection import Remote, path_of
from modelserver.cli.client.output import size
from modelserver.cli.main import build_parser
from modelserver.config.address import Address
from tests.harness.control_case import ControlCase

WORKER = {
    "id": "9000",
    "startTime": "2026-11-22T04:40:00.783Z",
    "status": "READY",
    "memoryUsage": 15810560,
    "pid": 4242,
    "gpu": False,
    "gpuUsage": "N/A",
}
NOOP = {
    "modelName": "noop",
    "modelVersion": "1.0",
    "modelUrl": "noop.mar",
    "minWorkers": 1,
    "maxWorkers": 2,
    "workers": [WORKER],
    "jobQueueStatus": {"remainingCapacity": 100, "pendingRequests": 7},
}


class QuestionTests(ControlCase):
    """What changes nothing."""

    def setUp(self) -> None:
        super().setUp()
        row = {"modelName": "noop", "modelUrl": "noop.mar"}
        self.answer("GET", "/models?limit=100&next_page_token=0", {"models": [row]})
        self.answer("GET", "/models/noop", [NOOP])

    def test_models(self) -> None:
        status, said, _ = self.run_words("models")
        self.assertEqual(status, 0)
        for word in ("noop", "1.0", "1/1", "noop.mar"):
            self.assertIn(word, said)

    def test_models_of_all_pages(self) -> None:
        row = {"modelName": "noop", "modelUrl": "noop.mar"}
        self.answer(
            "GET", "/models?limit=100&next_page_token=0", {"nextPageToken": "100", "models": [row] * 100}
        )
        self.answer("GET", "/models?limit=100&next_page_token=100", {"models": [row]})
        status, said, _ = self.run_words("models", "--json")
        self.assertEqual((status, len(json.loads(said))), (0, 101))

    def test_describe(self) -> None:
        status, said, _ = self.run_words("describe", "noop")
        self.assertEqual(status, 0)
        for word in ("noop.mar", "waiting requests", "7", "9000", "READY", "4242", "15.1 MiB"):
            self.assertIn(word, said)
        self.assertNotIn("last failure", said)

    def test_node_of_a_worker_is_shown_and_why_another_one_has_none(self) -> None:
        there = {"node": "b/1234", "address": "192.0.2.2", "placementGroup": "0" * 36, "reason": "has room"}
        silent = WORKER | {"placement": there | {"suspect": True}}
        nowhere = WORKER | {"placement": {"reason": "asked for CPU 4; free: a: CPU 1"}}
        self.answer("GET", "/models/noop", [NOOP | {"workers": [silent, nowhere]}])
        said = "".join(self.run_words("workers", "noop")[1].replace("│", "").split())
        for words in ("b/1234", "192.0.2.2", "suspect", "000000000000", "CPU4", "free:"):
            self.assertIn(words, said)

    def test_a_failure_is_shown_as_text(self) -> None:
        failed = WORKER | {"restarts": 3, "lastFailure": {"type": "ImportError", "text": "[red]no[/red]"}}
        self.answer("GET", "/models/noop", [NOOP | {"workers": [failed]}])
        said = "".join(self.run_words("workers", "noop")[1].split())
        self.assertIn("[red]no[/red]", said)

    def test_describe_of_the_older_peer_is_an_object(self) -> None:
        self.answer("GET", "/models/noop", NOOP)
        status, said, _ = self.run_words("describe", "noop", "--json")
        self.assertEqual((status, json.loads(said)), (0, [NOOP]))

    def test_advise(self) -> None:
        advice = {
            **{
                "modelName": "noop",
                "modelVersion": "1.0",
                "verdict": "change",
                "reason": "",
                "notes": ["Look."],
            },
            "current": {"batch_size": 1, "max_batch_delay": 100, "workers": 1},
            "recommended": {"batch_size": 32, "max_batch_delay": "auto", "workers": 2},
            **{"gain": 1.25, "confidence": "high"},
        }
        self.answer("GET", "/models/noop/advice?p99=50ms&rate=200", advice)
        status, said, _ = self.run_words("advise", "noop", "--p99", "50ms", "--rate", "200")
        self.assertEqual(status, 0)
        for word in ("change", "auto", "32", "gain: 125 %", "high", "Look."):
            self.assertIn(word, said)

    def test_describe_a_version(self) -> None:
        self.answer("GET", "/models/noop/all", [NOOP, NOOP])
        self.assertEqual(self.run_words("describe", "noop", "all")[0], 0)

    def test_workers(self) -> None:
        status, said, _ = self.run_words("workers", "--json")
        expected = [{"modelName": "noop", "modelVersion": "1.0", "workers": [WORKER]}]
        self.assertEqual((status, json.loads(said)), (0, expected))

    def test_ping(self) -> None:
        self.answer("GET", "/ping", {"status": "Healthy"})
        self.assertEqual(self.run_words("ping"), (0, "Healthy\n", ""))
        self.assertEqual(self.run_words("ping", "--json"), (0, '{\n  "status": "Healthy"\n}\n', ""))
        self.assertEqual({port for _, _, port, *_ in self.server.asked}, {8080})


class ChangeTests(ControlCase):
    """What changes something."""

    def test_register_waits_for_workers_unless_told_otherwise(self) -> None:
        path = "/models?url=https%3A%2F%2Fexample.org%2Fa.mar%3Fx%3Dy%26z&initial_workers=2&synchronous=true"
        self.answer("POST", path, {"status": "registered"})
        status, said, _ = self.run_words("register", "https://example.org/a.mar?x=y&z", "--workers", "2")
        self.assertEqual((status, said), (0, "registered\n"))
        self.run_words("register", "a.mar", "--no-wait")
        self.assertEqual(self.urls[1], "POST /models?url=a.mar&synchronous=false")

    def test_every_option_of_register(self) -> None:
        self.run_words(
            *("register", "a.mar", "--name", "b", "--handler", "h:f", "--batch-size", "4"),
            *(
                "--max-batch-delay",
                "50",
                "--response-timeout",
                "9",
                "--startup-timeout",
                "8",
                "--sha256",
                "ab",
            ),
        )
        self.assertEqual(
            self.urls,
            [
                "POST /models?url=a.mar&model_name=b&handler=h%3Af&batch_size=4&max_batch_delay=50"
                "&response_timeout=9&startup_timeout=8&sha256=ab&synchronous=true"
            ],
        )

    def test_scale(self) -> None:
        self.run_words("scale", "noop", "--min", "2")
        self.run_words("scale", "noop", "--min", "2", "--max", "4", "--version", "2.0", "--no-wait")
        self.assertEqual(
            self.urls,
            [
                "PUT /models/noop?min_worker=2&max_worker=2&synchronous=true",
                "PUT /models/noop/2.0?min_worker=2&max_worker=4&synchronous=false",
            ],
        )

    def test_scale_by_the_server(self) -> None:
        self.run_words("scale", "noop", "--autoscale")
        self.run_words("scale", "noop", "--autoscale", "--min", "0", "--max", "4", "--idle-timeout", "60")
        self.run_words("scale", "noop", "--no-autoscale", "--min", "2")
        self.assertEqual(
            self.urls,
            [
                "PUT /models/noop?synchronous=true&autoscale=true",
                "PUT /models/noop?min_worker=0&max_worker=4&idle_timeout=60&synchronous=true&autoscale=true",
                "PUT /models/noop?min_worker=2&max_worker=2&synchronous=true&autoscale=false",
            ],
        )

    def test_unregister_and_set_default(self) -> None:
        self.run_words("unregister", "noop")
        self.run_words("unregister", "a/b", "--version", "2.0")
        self.run_words("set-default", "noop", "2.0")
        self.assertEqual(
            self.urls,
            ["DELETE /models/noop", "DELETE /models/a%2Fb/2.0", "PUT /models/noop/2.0/set-default"],
        )
        self.assertEqual({port for _, _, port, *_ in self.server.asked}, {8081})

    def test_predict_sends_and_writes_bytes_as_they_are(self) -> None:
        self.answer("POST", "/predictions/noop/1.0", b"\xc3\xa4 answer")
        file = self.folder / "body"
        file.write_bytes(b"\x00\xff")
        for words, body in ((("-d", "text"), b"text"), (("-f", str(file)), b"\x00\xff")):
            result = self.run_words("predict", "noop", "--version", "1.0", *words)
            self.assertEqual(result, (0, "ä answer", ""))
            self.assertEqual(self.server.asked[-1][3], body)
        self.assertEqual(self.server.asked[-1][4], {"Content-Type": "application/octet-stream"})


class ExitTests(ControlCase):
    """How a command ends."""

    def test_a_refusal_is_1(self) -> None:
        status, said, told = self.run_words("describe", "nope")
        self.assertEqual((status, said, told), (1, "", "modelserver: no /models/nope (404)\n"))

    def test_a_refusal_comes_with_its_reason(self) -> None:
        body = {"code": 500, "message": "Failed to start workers", "reason": "load, SyntaxError: line 6"}
        body |= {"exception": "SyntaxError", "text": "line 6"}
        self.answer("POST", "/models?url=broken.mar&synchronous=true", body, 500)
        told = self.run_words("register", "broken.mar")[2]
        self.assertEqual(told, "modelserver: Failed to start workers (500): load, SyntaxError: line 6\n")

    def test_what_a_handler_has_raised_is_shown(self) -> None:
        body = {"code": 503, "message": "Prediction failed", "exception": "KeyError", "text": "'body'\x1b[2J"}
        self.answer("POST", "/predictions/words", body, 503)
        told = self.run_words("predict", "words", "-d", "x")[2]
        self.assertEqual(told, "modelserver: Prediction failed (503): KeyError: 'body'\\x1b[2J\n")

    def test_words_that_make_no_sense_are_told_with_what_does(self) -> None:
        for words, said in (
            (("--inference", "127.0.0.1:8080"), "--inference 127.0.0.1:8080: an address is http://HOST:PORT"),
            (("--timeout", "-1"), "--timeout -1: it is above 0"),
            (("--timeout", "inf"), "--timeout inf: it is above 0"),
            (("--key-file", "nope.json"), "modelserver: nope.json cannot be read: "),
        ):
            self.assertIn(said, self.run_words("ping", *words)[2])

    def test_words_that_make_no_sense_are_2(self) -> None:
        for words in (
            ("ping", "--inference", "nonsense"),
            ("ping", "--key-file", "nope.json"),
            ("ping", "--ca-file", "nope.pem"),
            ("predict", "noop", "-f", "nope"),
        ):
            status, said, told = self.run_words(*words)
            self.assertEqual((status, said), (2, ""), words)
            self.assertIn("modelserver: ", told)

    def test_no_server_is_3(self) -> None:
        self.server.is_there = False
        status, _, told = self.run_words("ping")
        self.assertEqual(status, 3)
        self.assertIn("http://127.0.0.1:8080 does not answer: [Errno 111] Connection refused", told)

    def test_something_else_that_speaks_http_is_3(self) -> None:
        self.answer("GET", "/ping", b"<html>")
        self.assertEqual(self.run_words("ping")[0], 3)


class KeyTests(ControlCase):
    """Keys come from the key file."""

    def authorizations(self) -> list[str | None]:
        return [headers.get("Authorization") for *_, headers in self.server.asked]

    def test_each_api_gets_its_own(self) -> None:
        keys = {name: {"key": f"{name}-key"} for name in ("management", "inference", "API")}
        (self.folder / "key_file.json").write_text(json.dumps(keys), "ascii")
        self.run_words("ping")
        self.run_words("models")
        self.assertEqual(self.authorizations(), ["Bearer inference-key", "Bearer management-key"])

    def test_without_a_file_none_is_sent(self) -> None:
        self.run_words("ping")
        self.assertEqual(self.authorizations(), [None])

    def test_another_file(self) -> None:
        (self.folder / "mine.json").write_text('{"inference": {"key": "mine"}}', "ascii")
        self.run_words("ping", "--key-file", "mine.json")
        self.assertEqual(self.authorizations(), ["Bearer mine"])

    def test_keys_do_not_show(self) -> None:
        self.assertNotIn("hush", repr(Remote(Address("http"), Address("http"), {"inference": "hush"})))


class PartsTests(TestCase):
    """Small parts."""

    def test_paths(self) -> None:
        self.assertEqual(path_of("models", "a/b c", None), "/models/a%2Fb%20c")

    def test_sizes(self) -> None:
        for count, text in (
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (3 << 30, "3.0 GiB"),
            (None, "0 B"),
        ):
            self.assertEqual(size(count), text)


class CompletionTests(TestCase):
    """The scripts know every subcommand and its options."""

    def setUp(self) -> None:
        self.commands = commands_of(build_parser().parse_args(["completion", "bash"]).subparsers)

    def test_every_subcommand_and_option_is_there(self) -> None:
        self.assertIn("--batch-size", self.commands["register"])
        for shell in SHELLS:
            text = script(shell, self.commands)
            for word in ("serve", "doctor", "set-default", "batch-size"):
                self.assertIn(word, text, shell)

    @skipUnless(which("bash"), "there is no bash")
    def test_bash_completes(self) -> None:
        asks = (
            'COMP_WORDS=(modelserver re); COMP_CWORD=1; _modelserver; echo "${COMPREPLY[*]}";'
            'COMP_WORDS=(modelserver scale --mi); COMP_CWORD=2; _modelserver; echo "${COMPREPLY[*]}"'
        )
        ran = subprocess.run(
            ["bash", "--norc", "-c", script("bash", self.commands) + asks],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        self.assertEqual(ran.stdout, "register\n--min\n")
