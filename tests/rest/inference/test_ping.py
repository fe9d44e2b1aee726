"""``/ping`` while the models of the start are on their way."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.inference.predict import Inference
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.inference.front import InferenceEndpoint
from modelserver.security.authorization import AllowAll
from modelserver.testing.providers import Stage
from tests.harness.connections import ID, SETTINGS, AccessNotes


class PingTests(SynchronousTestCase):
    """The peers do not listen before; this server does, and says so."""

    def test_503_until_the_starts_models_are_registered(self) -> None:
        stage, registry = Stage(), Registry()
        inference = Inference(registry, Deadlines(stage.clock), stage.clock, stage.recorder, lambda size: ID)
        endpoint = InferenceEndpoint(
            inference=inference,
            registry=registry,
            dialect=TorchServe(),
            recorder=stage.recorder,
            access_log=AccessNotes(),
            gate=AllowAll(),
            clock=stage.clock,
            entropy=lambda size: ID,
            settings=SETTINGS,
            slots=None,
        )
        self.assertEqual(endpoint.ping().code, 200)
        inference.start_up.expect(["a", "b"])
        self.assertEqual(endpoint.ping().code, 503)
        inference.start_up.failed("a", "its handler cannot be imported")
        self.assertEqual(endpoint.ping().code, 503)
        inference.start_up.registered("b")
        self.assertEqual(endpoint.ping().code, 200)
