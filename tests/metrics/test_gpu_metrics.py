"""Which GPUs are set aside, as a scrape shows it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.exposition import pieces
from modelserver.metrics.gpu_metrics import set_aside


class SetAsideTests(SynchronousTestCase):
    """One value for each GPU."""

    def test_every_gpu_has_a_value(self) -> None:
        text = b"".join(pieces(list(set_aside({0: None, 1: "it is lost"})))).decode()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        self.assertEqual(
            lines, ['modelserver_gpu_set_aside{gpu="0",} 0.0', 'modelserver_gpu_set_aside{gpu="1",} 1.0']
        )
