"""Operations with real processes: the peers' commands, key files and snapshots."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import skipUnless

from tests.harness.installation import ECHO, ROOT, InstallationTests
from tests.harness.server_process import HOST, LONGEST, ask, eventually

PEER = str(Path(os.environ.get("MODELSERVER_PEER_TS", "/nowhere"), "torchserve"))
"""The real ``torchserve``, where there is one to compare with."""


class TorchServeTests(InstallationTests):
    """The commands of TorchServe's getting-started pages, verbatim."""

    def test_getting_started_with_tokens(self) -> None:
        self.on.add_model("densenet161")
        self.ran(
            *("torchserve", "--start", "--ncs", "--model-store", "model_store"),
            *("--models", "densenet161.mar"),
        )
        self.until_ready()
        self.assertIn("org.pytorch.serve.ModelServer", self.command_line())
        self.assert_answer(400, 0, "GET", "/ping")
        self.assert_answer(200, 0, "GET", "/ping", key="inference")
        self.assert_logged("model_log.log", r"W-9000-densenet161_1\.0-stdout MODEL_LOG - \[PID\]\d+$")
        self.assert_logged(
            "model_log.log", r"W-9000-densenet161_1\.0-stdout MODEL_LOG - Torch worker started\.$"
        )
        self.assert_logged("ts_log.log", r"Model densenet161 loaded\.")
        answer = self.assert_answer(200, 0, "POST", "/predictions/densenet161", b"kitten", key="inference")
        self.assertEqual(answer.body, b"kitten")
        self.assert_logged("model_log.log", r"W-9000-densenet161_1\.0-stdout MODEL_LOG - answering 1$")
        described = self.assert_answer(200, 1, "GET", "/models/densenet161", key="management").json()
        self.assertTrue(described[0]["loadedAtStartup"])
        self.assert_answer(405, 1, "POST", "/models?url=densenet161.mar", key="management")
        self.assert_answer(400, 1, "GET", "/models", key="inference")
        self.assert_answer(200, 2, "GET", "/metrics")
        before = self.on.keys()
        self.assertEqual(self.assert_answer(200, 1, "GET", "/token?type=inference", key="API").body, b"\n")
        self.assertNotEqual(self.on.keys()["inference"], before["inference"])
        self.assert_answer(200, 0, "GET", "/ping", key="inference")
        self.assertIn("already running", self.ran("torchserve", "--model-store", "model_store", status=1))
        # Our own commands find the keys where they are.
        address = ("--inference", f"http://{HOST}:{self.on.ports[0]}")
        self.assertEqual(self.ran("modelserver", "ping", *address), "Healthy\n")
        self.assertEqual(self.ran("torchserve", "--stop"), "TorchServe has stopped.\n")
        self.assertEqual(self.on.ask(0, "GET", "/ping").status, 0)
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.assertIsNone(self.on.pid_file.read())
        self.assertEqual(self.on.snapshots(), [])
        self.assertEqual(self.ran("torchserve", "--stop"), "TorchServe is not currently running.\n")

    def test_getting_started_without_tokens(self) -> None:
        self.on.add_model("a")
        self.on.add_model("b")
        self.ran(
            *("torchserve", "--start", "--model-store", "model_store", "--models", "all"),
            *("--disable-token-auth", "--enable-model-api"),
        )
        self.until_ready()
        self.assert_answer(200, 0, "GET", "/ping")
        self.assert_answer(200, 1, "DELETE", "/models/a")
        self.assert_logged("ts_log.log", r"Model a unregistered\.$")
        self.assert_answer(200, 1, "POST", "/models?url=a.mar&initial_workers=1")
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.ran("torchserve", "--stop")

    def test_keys_of_the_operator_are_read_again(self) -> None:
        file = self.on.folder / "mine.json"
        keys = {name: {"key": f"a-key-for-{name}"} for name in ("inference", "management", "API")}
        file.write_text(json.dumps(keys), "ascii")
        self.on.environment["TS_TOKEN_FILE"] = str(file)
        self.ran("torchserve", "--ncs", "--model-store", "model_store")
        self.until_ready()

        def ping(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return ask(self.on.ports[0], "GET", "/ping", None, headers).status

        self.assertEqual(ping("a-key-for-inference"), 200)
        keys["inference"]["key"] = "another-key-for-inference"
        file.write_text(json.dumps(keys), "ascii")
        eventually(lambda: ping("another-key-for-inference") == 200)
        self.assertEqual(ping("a-key-for-inference"), 400)
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.ran("torchserve", "--stop")
        self.assertTrue(file.exists())

    def test_snapshots_bring_back_what_was_there(self) -> None:
        self.on.add_model("a")
        self.on.add_model("b", "2.0")
        self.ran(
            *("torchserve", "--model-store", "model_store", "--models", "a.mar"),
            *("--dt", "--enable-model-api"),
        )
        self.until_ready()
        self.assert_answer(200, 1, "POST", "/models?url=b.mar&initial_workers=1&batch_size=3")
        self.assert_answer(200, 1, "PUT", "/models/a?min_worker=2&synchronous=true")
        self.ran("torchserve", "--stop")
        self.assertEqual(self.on.snapshots(), ["startup", "snapshot", "snapshot", "shutdown"])
        self.ran("torchserve")  # the model store is in the snapshot
        self.until_ready()
        a, b = (self.assert_answer(200, 1, "GET", f"/models/{name}").json()[0] for name in ("a", "b"))
        self.assertEqual((a["minWorkers"], len(a["workers"])), (2, 2))
        self.assertEqual((b["modelVersion"], b["batchSize"]), ("2.0", 3))
        self.ran("torchserve", "--stop")
        self.assertEqual(self.on.snapshots()[4:], ["startup", "shutdown"])

    def test_a_snapshot_whose_archive_is_gone_does_not_start(self) -> None:
        self.on.add_model("a")
        self.ran("torchserve", "--model-store", "model_store", "--models", "a.mar", "--dt")
        self.until_ready()
        self.ran("torchserve", "--stop")
        (self.on.store / "a.mar").unlink()
        status, said = self.on.run("torchserve", "--foreground")
        self.assertNotEqual(status, 0)
        self.assertIn("Model archive file for model :a, version :1.0 not found in model store", said)
        self.assertIsNone(self.on.pid_file.read())

    def test_foreground(self) -> None:
        with subprocess.Popen(
            [
                sys.executable,
                "bin/torchserve",
                "--foreground",
                "--ncs",
                "--dt",
                "--model-store",
                "model_store",
            ],
            cwd=self.on.folder,
            env={**os.environ, "TMPDIR": str(self.on.folder / "tmp"), "PYTHONPATH": ROOT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            self.until_ready()
            self.assertEqual(self.on.pid_file.read(), process.pid)
            self.assertEqual(self.ran("torchserve", "--stop", "--foreground"), "TorchServe has stopped.\n")
            process.wait(LONGEST)
        self.assertIsNone(self.on.pid_file.read())


class MultiModelServerTests(InstallationTests):
    """The commands of Multi Model Server's README, verbatim but for the addresses."""

    def test_getting_started(self) -> None:
        self.on.add_model("squeezenet")
        manifest = {"name": "squeezenet", "handler": "squeezenet_handler.py:handle", "modelVersion": "1.0"}
        folder = self.on.store / "squeezenet"
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "squeezenet_handler.py").write_text(ECHO, "ascii")
        document = {"model": {"modelName": "squeezenet", **manifest}, "engine": {"engineName": "MXNet"}}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(document), "ascii")
        self.ran(
            *("multi-model-server", "--start", "--model-store", "model_store"),
            *("--models", "squeezenet=squeezenet"),
        )
        self.until_ready()
        # By this word SageMaker's toolkits find the server among the processes.
        self.assertIn("com.amazonaws.ml.mms.ModelServer", self.command_line())
        self.assertEqual(self.assert_answer(200, 0, "GET", "/ping").json(), {"status": "Healthy"})
        self.assertEqual(self.assert_answer(200, 0, "POST", "/predictions/squeezenet", b"cat").body, b"cat")
        self.assertEqual(
            self.assert_answer(200, 1, "GET", "/models").json()["models"][0]["modelName"], "squeezenet"
        )
        self.assert_answer(200, 1, "PUT", "/models/squeezenet?min_worker=2&synchronous=true")
        self.assertIn("already running", self.ran("multi-model-server", status=1))
        self.assertEqual(self.ran("multi-model-server", "--stop"), "Model server stopped.\n")
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.assertIn("Please move to multi-model-server", self.ran("mxnet-model-server", "--stop"))


@skipUnless(Path(PEER).exists(), "MODELSERVER_PEER_TS names no folder with torchserve")
class PeerFilesTests(InstallationTests):
    """What the real TorchServe has written is used unchanged."""

    def peer_has_started(self) -> bool:
        """Whether it answers; its key file is there before it is whole."""
        try:
            return self.on.ask(0, "GET", "/ping", key="inference").status == 200
        except (FileNotFoundError, ValueError):
            return False

    def test_snapshot_keys_and_configuration(self) -> None:
        self.on.add_model("a")
        self.on.add_model("b")
        self.on.configure("model_store=model_store\nenable_model_api=true\n")
        # The peer's Java looks for its Python by the PATH.
        self.on.environment["PATH"] = os.pathsep.join([str(Path(PEER).parent), os.environ["PATH"]])
        self.ran(PEER, "--start", "--ts-config", "config.properties", "--models", "a.mar")
        eventually(self.peer_has_started)
        self.assert_answer(
            200, 1, "POST", "/models?url=b.mar&initial_workers=2&batch_size=4", key="management"
        )
        self.assert_answer(200, 1, "PUT", "/models/b?min_worker=3&synchronous=true", key="management")
        keys = self.on.folder / "keys of the peer.json"
        shutil.copy(self.on.folder / "key_file.json", keys)
        self.ran(PEER, "--stop", "--foreground")
        eventually(lambda: "shutdown" in self.on.snapshots())
        self.assertEqual(self.on.ask(0, "GET", "/ping").status, 0)
        (self.on.folder / "key_file.json").unlink(missing_ok=True)
        # The same folder, our command.
        shutil.copy(keys, self.on.folder / "key_file.json")
        self.on.environment["TS_TOKEN_FILE"] = "key_file.json"
        self.ran("torchserve", "--start")
        self.until_ready()
        b = self.assert_answer(200, 1, "GET", "/models/b", key="management").json()[0]
        self.assertEqual((b["minWorkers"], b["batchSize"], len(b["workers"])), (3, 4, 3))
        self.assertEqual(
            self.assert_answer(200, 0, "POST", "/predictions/a", b"x", key="inference").body, b"x"
        )
        self.ran("torchserve", "--stop")
