"""What a version's settings should be, asked over HTTP."""

from __future__ import annotations

from modelserver.metrics.figures import Figures, VersionFigures
from tests.harness.management_api import ApiCase

ONE_TO_EIGHT = VersionFigures(
    requests=(1000,),
    seconds=1000 * 0.08,
    handled={4: (50, 50 * 0.010), 8: (100, 100 * 0.010)},
    squares=150 * 0.010**2,
)


class AdviceTests(ApiCase):
    """GET /models/{name}[/{version}]/advice."""

    def test_nothing_is_said_of_what_was_not_asked_yet(self) -> None:
        self.register(initial_workers=1)
        advice = self.call("GET", "/models/noop/advice").body
        self.assertEqual(("noop", "1.0", "not enough data"), tuple(advice.values())[:3])
        self.assertNotIn("recommended", advice)

    def test_larger_batches_are_recommended_where_they_cost_nothing(self) -> None:
        self.register(initial_workers=1, batch_size=8, max_batch_delay="auto")
        self.figures_of(ONE_TO_EIGHT)
        for path in ("/models/noop/advice", "/models/noop/1.0/advice"):
            advice = self.call("GET", path).body
            self.assertEqual("change", advice["verdict"], advice)
            self.assertEqual((8, "auto", 1), tuple(advice["current"].values())[:3])
            self.assertGreater(advice["recommended"]["batch_size"], 8)
            self.assertGreater(advice["gain"], 0.05)
            self.assertEqual({"4": 10.0, "8": 10.0}, advice["seen"]["handlerMilliseconds"])

    def test_limits_are_read(self) -> None:
        self.register(initial_workers=1)
        self.figures_of(ONE_TO_EIGHT)
        for query in ("p99=50ms", "p99=0.05s", "rate=100", "p99=1.5s&rate=2000"):
            self.assertEqual(200, self.call("GET", f"/models/noop/advice?{query}").code, query)
        for query in ("p99=50", "p99=-1ms", "p99=fast", "rate=0"):
            self.assertEqual(400, self.call("GET", f"/models/noop/advice?{query}").code, query)

    def test_what_the_model_does_not_know_is_left_as_it_is(self) -> None:
        self.on.add_model("flow.mar", "flow", config="continuousBatching: true")
        self.register("flow.mar", initial_workers=1)
        self.figures = Figures(versions={("flow", "1.0"): ONE_TO_EIGHT})
        advice = self.call("GET", "/models/flow/advice").body
        self.assertEqual("no change", advice["verdict"])
        self.assertIn("batches", advice["reason"])
        self.assertNotIn("recommended", advice)

    def test_models_that_are_not_there(self) -> None:
        self.assertEqual(404, self.call("GET", "/models/nobody/advice").code)
        self.register(initial_workers=1)
        self.assertEqual(404, self.call("GET", "/models/noop/7.0/advice").code)

    def figures_of(self, figures: VersionFigures) -> None:
        """Let so much have been counted."""
        self.figures = Figures(versions={("noop", "1.0"): figures})
