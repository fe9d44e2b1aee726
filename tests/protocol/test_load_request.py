"""What a worker is told to load, as both sides see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.yaml_documents import read_yaml
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.load_request import LoadRequest
from modelserver.spec import VersionSpec, WorkerSettings, WorkerSpec
from modelserver.version_settings.values import Batching

CONFIG: Any = read_yaml("""
handler: {1: one, null: nothing, 2020-01-02: a day, "\\0date": no date, path: x/y}
day: 2020-01-02
moment: 2020-01-02T03:04:05.5+01:00
numbers: [1, 2.5, .inf, yes, 0o17]
bytes: !!binary aGVsbG8=
members: !!set {a}
ordered: !!omap [a: 1]
""")


class LoadRequestTests(SynchronousTestCase):
    """From the server's values through JSON to the worker's."""

    def setUp(self) -> None:
        version = VersionSpec(
            "m",
            "2.0",
            "m.mar",
            Path("/models/m"),
            "service.py:handle",
            manifest={"model": {"modelName": "m"}},
            config=CONFIG,
            batching=Batching(4),
        )
        settings = WorkerSettings(dialect="mms", metrics_config="/metrics.yaml")
        self.request = LoadRequest.for_worker(WorkerSpec(version, "9000", gpu_id=1), settings, 4096)

    def test_worker_reads_what_the_server_wrote(self) -> None:
        reader = FrameReader()
        sent = memoryview(frames.pack_json(frames.LOAD, self.request.to_document()))

        class Source:
            def recv_into(self, buffer: memoryview, /) -> int:
                buffer[: len(sent)] = sent
                return len(sent)

        reader.fill(Source())
        frame = reader.next()
        assert frame is not None
        read = LoadRequest.from_document(frames.unpack_json(frame))
        self.assertEqual(read.config, CONFIG)
        # JSON has no tuples.
        self.assertEqual({**read.to_document(), "search_path": ()}, self.request.to_document())

    def test_other_keys_are_left_alone(self) -> None:
        document = {**self.request.to_document(), "preload": "model"}
        self.assertEqual(LoadRequest.from_document(document), self.request)

    def test_missing_key(self) -> None:
        document = self.request.to_document()
        del document["handler"]
        with self.assertRaises(KeyError):
            LoadRequest.from_document(document)
