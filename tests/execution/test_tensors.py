"""Clients of the Open Inference Protocol over gRPC: the last node answers with a message."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.data.decoder import Decoder
from modelserver.child.data.infer_answer import InferEncoder
from modelserver.errors import BadRequest
from modelserver.protocol.frames import BARE, FIELDS, INFER, PASSES, RAW, REPLIES, Item
from modelserver.protocol.wire_format import length_field, text_field
from modelserver.workflows.errors import NodeFailed
from modelserver.workflows.spec import Condition, Items, Node
from tests.harness.run_stage import CHAIN, FORK, LARGEST, RunStage

MESSAGE = text_field(1, "w") + text_field(3, "seven")
RAW_MESSAGE = MESSAGE + length_field(7, b"\0\0\0\0")


def told(is_raw: bool) -> bytes:
    """What the last node is told of the request."""
    names = {"model_name": "w", "model_version": "", "id": "seven", "is_raw": is_raw}
    return json.dumps({"infer": names}).encode()


class ReplyTests(SynchronousTestCase):
    """Which node is told to do what."""

    def test_first_node_reads_the_message_and_the_last_one_makes_the_answer(self) -> None:
        for message, is_raw in ((MESSAGE, False), (RAW_MESSAGE, True)):
            stage = RunStage(CHAIN)
            observer, _ = stage.ask(message, flags=INFER)
            found = []
            for node in ("pre", "mid", "post"):
                (job,) = stage.jobs(node)
                found.append((job.request.flags, job.request.extra))
                stage.answer(node, node.encode())
            self.assertEqual(INFER | PASSES | BARE, found[0][0])
            self.assertEqual([(RAW, b""), (RAW | REPLIES, told(is_raw))], found[1:])
            self.assertEqual([b"post"], observer.bodies)

    def test_last_node_with_several_parents(self) -> None:
        stage = RunStage({"pre": ["mid", "post"], "mid": ["post"]})
        stage.ask(MESSAGE, flags=INFER)
        stage.answer("pre", b"p")
        stage.answer("mid", b"m")
        (job,) = stage.jobs("post")
        self.assertEqual(FIELDS | REPLIES, job.request.flags)
        self.assertEqual(
            {"fields": [["pre", 1], ["mid", 1]], **json.loads(told(False))}, json.loads(job.request.extra)
        )

    def test_only_node_is_asked_as_a_model_is(self) -> None:
        stage = RunStage({"pre": []})
        stage.ask(MESSAGE, flags=INFER)
        (job,) = stage.jobs("pre")
        self.assertEqual((INFER | BARE, b""), (job.request.flags, job.request.extra))

    def test_other_clients_are_answered_as_ever(self) -> None:
        stage = RunStage(CHAIN)
        stage.ask(MESSAGE)
        for node in ("pre", "mid"):
            stage.answer(node, b"x")
        (job,) = stage.jobs("post")
        self.assertEqual((RAW, b""), (job.request.flags, job.request.extra))

    def test_workflow_that_answers_no_tensors_refuses_and_keeps_nothing(self) -> None:
        split = Node("post", url="x.mar", items=Items.SPLIT)
        for stage in (
            RunStage(FORK, has_slots=True),
            RunStage({"pre": ["post"]}, has_slots=True, post=split),
        ):
            assert stage.slots is not None
            self.addCleanup(stage.slots.close)
            free = stage.slots.free
            for body in (MESSAGE, MESSAGE + bytes(LARGEST // 2)):
                with self.assertRaises(BadRequest):
                    stage.ask(body, flags=INFER)
            self.assertEqual((free, 0), (stage.slots.free, stage.workflows.runs_of()))

    def test_what_is_no_message_is_refused(self) -> None:
        with self.assertRaises(BadRequest):
            RunStage(CHAIN).ask(b"\x0a\xff", flags=INFER)

    def test_node_before_those_that_are_passed_over_cannot_answer(self) -> None:
        last = Node("post", url="x.mar", conditions=(Condition(("go",), (True,)),))
        stage = RunStage({"pre": ["post"]}, post=last)
        observer, _ = stage.ask(MESSAGE, flags=INFER)
        stage.answer("pre", b"{}")
        (error,) = observer.errors
        assert isinstance(error, NodeFailed)
        self.assertEqual("pre", error.node)


class WorkerTests(SynchronousTestCase):
    """What workers make of it."""

    def encoder(self, flags: int, body: bytes, extra: bytes = b"") -> InferEncoder | None:
        decoder = Decoder(True)
        item = Item(bytes(16), b"", extra, memoryview(body), flags)
        return decoder.encoder_of(decoder.row(decoder.head(b""), item).row, item)

    def test_answer_that_goes_on_is_no_message(self) -> None:
        self.assertIsNone(self.encoder(INFER | PASSES, MESSAGE))
        self.assertIsNotNone(self.encoder(INFER, MESSAGE))

    def test_last_answer_is_the_message_that_a_model_would_make(self) -> None:
        outputs = [{"name": "o", "datatype": "INT32", "shape": [2], "data": [1, 2]}]
        for message, is_raw in ((MESSAGE, False), (RAW_MESSAGE[: len(MESSAGE)], False)):
            model = self.encoder(INFER, message)
            last = self.encoder(RAW | REPLIES, b"{}", told(is_raw))
            assert model is not None and last is not None
            self.assertEqual(model({"outputs": outputs}), last({"outputs": outputs}))
