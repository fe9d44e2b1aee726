"""What the quickstart asks, shows and writes, with a server that is a function."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

import javaproperties
from rich.console import Console

from modelserver.cli.client.http import ServerReply
from modelserver.cli.local_server import HOST, ChildServer, Ports, ServerFailed, choose_ports, write_options
from modelserver.cli.main import build_parser
from modelserver.cli.quickstart.command import (
    DigitPrediction,
    as_table,
    predict,
    register,
    samples,
    what_next,
)

PORTS = Ports(18080, 18081, 18082)


class Answering:
    """A server that gives one answer, and remembers what it was asked."""

    def __init__(self, status: int, value: object) -> None:
        self._reply = ServerReply(status, json.dumps(value).encode())
        self.asked: list[tuple[str, str, bytes]] = []

    def ask(self, method: str, path: str, body: bytes) -> ServerReply:
        """Answer, whatever is asked."""
        self.asked.append((method, path, body))
        return self._reply


class AskingTests(TestCase):
    """The requests, and what is made of the answers."""

    def test_register_asks_for_one_worker_and_waits(self) -> None:
        server = Answering(200, {"status": "registered"})
        self.assertEqual(register(server.ask, "digits.mar"), "registered")
        path = "/models?url=digits.mar&initial_workers=1&synchronous=true"
        self.assertEqual(server.asked, [("POST", path, b"")])

    def test_refused_registration_shows_the_servers_reason(self) -> None:
        server = Answering(409, {"code": 409, "type": "ConflictStatusException", "message": "already there"})
        with self.assertRaisesRegex(ServerFailed, "^POST /models.*: 409 already there$"):
            register(server.ask, "digits.mar")

    def test_prediction_of_a_picture(self) -> None:
        server = Answering(200, {"digit": 7, "probability": 0.75})
        picture = samples(1)[3]
        self.assertEqual(predict(server.ask, picture), DigitPrediction("3-1.png", 3, 7, 0.75))
        self.assertEqual(server.asked, [("POST", "/predictions/digits", picture.read_bytes())])

    def test_failed_prediction_shows_the_servers_reason(self) -> None:
        server = Answering(503, {"message": "Prediction failed"})
        with self.assertRaisesRegex(ServerFailed, "503 Prediction failed"):
            predict(server.ask, samples(1)[0])

    def test_answer_that_is_no_prediction(self) -> None:
        values: list[object] = [{"digit": 1}, [], "seven", None, {"digit": "x", "probability": 1}]
        for value in values:
            with self.subTest(value), self.assertRaisesRegex(ServerFailed, "no prediction"):
                predict(Answering(200, value).ask, samples(1)[0])


class ReplyTests(TestCase):
    """What a person is shown of an answer."""

    def test_message_of_an_error_and_status_of_a_success(self) -> None:
        self.assertEqual(ServerReply(404, b'{"code": 404, "message": "not found"}\n').message, "not found")
        self.assertEqual(ServerReply(200, b'{"status": "Healthy"}').message, "Healthy")

    def test_other_bodies_as_they_are(self) -> None:
        for body in (b"", b"plain text", b"[1, 2]", b'{"digit": 1}'):
            with self.subTest(body):
                self.assertEqual(ServerReply(200, body).message, body.decode())


class ShowingTests(TestCase):
    """What is printed."""

    def text(self, *printed: object) -> str:
        """What a console without colours shows."""
        file = io.StringIO()
        Console(file=file, width=100).print(*printed)
        return file.getvalue()

    def test_table_has_a_line_for_each_prediction(self) -> None:
        text = self.text(
            as_table([DigitPrediction("3-1.png", 3, 3, 0.98765), DigitPrediction("8-1.png", 8, 9, 0.5)])
        )
        three = next(line for line in text.splitlines() if "3-1.png" in line)
        eight = next(line for line in text.splitlines() if "8-1.png" in line)
        self.assertEqual(["3", "3", "0.9877", "yes"], three.replace("│", " ").split()[1:])
        self.assertEqual(["8", "9", "0.5000", "no"], eight.replace("│", " ").split()[1:])

    def test_commands_to_try_name_the_ports_and_quote_the_picture(self) -> None:
        text = what_next(PORTS, Path("/a folder/3-2.png"))
        self.assertIn("curl -T '/a folder/3-2.png' http://127.0.0.1:18080/predictions/digits\n", text)
        self.assertIn("http://127.0.0.1:18081/models/digits\n", text)

    def test_samples_are_ten_pictures_of_the_package(self) -> None:
        for number in (1, 2):
            pictures = samples(number)
            self.assertEqual([int(picture.name[0]) for picture in pictures], list(range(10)))
            self.assertTrue(all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures))


class ConfigurationTests(TestCase):
    """What the server is told."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_configuration_has_the_ports(self) -> None:
        options = write_options(self.folder, self.folder / "store", PORTS)
        self.assertEqual(options[:2], ["--model-store", str(self.folder / "store")])
        values = javaproperties.loads(Path(options[-1]).read_text("utf-8"))
        self.assertEqual(values["inference_address"], "http://127.0.0.1:18080")
        self.assertEqual(values["management_address"], "http://127.0.0.1:18081")
        self.assertEqual(values["metrics_address"], "http://127.0.0.1:18082")

    def test_taken_port_is_replaced_by_a_free_one(self) -> None:
        with socket.create_server((HOST, 0)) as taken:
            wanted = taken.getsockname()[1]
            ports = choose_ports((wanted, 0, 0))
        self.assertNotEqual(ports.inference, wanted)
        self.assertEqual(3, len({ports.inference, ports.management, ports.metrics} - {0}))

    def test_free_port_is_kept(self) -> None:
        free = choose_ports((0, 0, 0)).metrics
        self.assertEqual(choose_ports((0, 0, free)).metrics, free)

    def test_port_option(self) -> None:
        self.assertEqual(build_parser().parse_args(["quickstart", "--port", "9000"]).port, 9000)
        for word in ("-1", "65534", "http"):
            with self.subTest(word), self.assertRaises(SystemExit):
                build_parser().parse_args(["quickstart", "--port", word])


class ChildServerTests(TestCase):
    """The server process, where it cannot start."""

    def test_end_of_the_process_is_told_with_its_last_lines(self) -> None:
        with TemporaryDirectory() as folder, ChildServer(["--no-such-option"], Path(folder)) as server:
            with self.assertRaisesRegex(ServerFailed, r"ended by itself \(exit status 1\)"):
                server.wait()
            self.assertIn("no-such-option", server.last_lines())
