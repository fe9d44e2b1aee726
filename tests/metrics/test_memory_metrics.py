"""The metrics of models that come and go."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.devices import HOST
from modelserver.metrics.exposition import pieces
from modelserver.metrics.memory_metrics import Residents


class ResidentsTests(SynchronousTestCase):
    """What a scrape shows."""

    def lines(self, residents: Residents) -> list[str]:
        text = b"".join(pieces(list(residents.exposed()), ())).decode()
        return [line for line in text.splitlines() if not line.startswith("#")]

    def test_the_memory_has_numbers_only_where_there_is_a_limit(self) -> None:
        self.assertEqual(self.lines(Residents()), [])
        self.assertEqual(
            self.lines(Residents({HOST: 1000}, {HOST: 300})),
            ["modelserver_memory_reserved_bytes 300.0", "modelserver_memory_limit_bytes 1000.0"],
        )

    def test_each_gpu_that_has_a_limit_is_told_of(self) -> None:
        self.assertEqual(
            self.lines(Residents({1: 1000, 2: 500}, {1: 300})),
            [
                'modelserver_gpu_memory_reserved_bytes{gpu="1",} 300.0',
                'modelserver_gpu_memory_reserved_bytes{gpu="2",} 0.0',
                'modelserver_gpu_memory_limit_bytes{gpu="1",} 1000.0',
                'modelserver_gpu_memory_limit_bytes{gpu="2",} 500.0',
            ],
        )

    def test_evictions_and_loads(self) -> None:
        residents = Residents(evictions={("m", "1.0"): 2}, loads={("m", "1.0", "failed"): 3})
        self.assertEqual(
            self.lines(residents),
            [
                'modelserver_model_evictions_total{model="m",version="1.0",} 2.0',
                'modelserver_model_loads_total{model="m",version="1.0",outcome="failed",} 3.0',
            ],
        )
