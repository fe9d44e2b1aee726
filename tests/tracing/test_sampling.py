"""Which requests are traced."""

from __future__ import annotations

from random import Random
from sys import maxsize

from twisted.trial.unittest import SynchronousTestCase

from modelserver.tracing.propagation import RemoteParent, SpanContext
from modelserver.tracing.sampling import SAMPLERS, Sampler

LOW = 1 << 64


def parent(trace_id: int, is_sampled: bool) -> RemoteParent:
    """A client's span."""
    return RemoteParent(SpanContext(trace_id, 1), is_sampled)


class SamplerTests(SynchronousTestCase):
    """Each sampler, with and without a client's decision."""

    def test_roots(self) -> None:
        for name in SAMPLERS:
            sampler = Sampler(name, 0.25, Random(7).getrandbits)
            taken = sum(sampler.new_trace_id() != 0 for _ in range(4000)) / 4000
            wanted = 1.0 if name.endswith("on") else 0.0 if name.endswith("off") else 0.25
            self.assertLess(abs(taken - wanted), 0.03, name)

    def test_each_trace_is_decided_by_itself(self) -> None:
        sampler = Sampler("traceidratio", 0.25, Random(7).getrandbits)
        taken = [sampler.new_trace_id() != 0 for _ in range(8000)]
        for distance in (1, 2, 5):
            both = sum(map(all, zip(taken, taken[distance:], strict=False))) / len(taken)
            self.assertLess(abs(both - 0.25**2), 0.01, distance)

    def test_gaps_are_as_long_as_if_each_trace_were_decided(self) -> None:
        sampler = Sampler("traceidratio", 0.25, Random(7).getrandbits)
        gaps = [sampler.gap() for _ in range(4000)]
        self.assertLess(abs(sum(gaps) / len(gaps) - 3), 0.15)
        for length in (0, 1, 4):
            self.assertLess(abs(gaps.count(length) / len(gaps) - 0.25 * 0.75**length), 0.02, length)
        self.assertEqual(0, Sampler("always_on", 0.0, Random(7).getrandbits).gap())
        self.assertEqual(maxsize, Sampler("always_off", 1.0, Random(7).getrandbits).gap())

    def test_ratio_is_that_of_the_low_bits_so_that_services_agree(self) -> None:
        sampler = Sampler("traceidratio", 0.25, Random(7).getrandbits)
        ids = [found for _ in range(400) if (found := sampler.new_trace_id())]
        self.assertTrue(all(each % LOW < LOW // 4 for each in ids))
        self.assertTrue(any(each > LOW for each in ids))
        self.assertTrue(sampler.takes(parent(3 * LOW + 5, is_sampled=False)))
        self.assertFalse(sampler.takes(parent(3 * LOW + LOW // 2, is_sampled=True)))

    def test_parent_based_samplers_do_as_the_client_has_decided(self) -> None:
        for name in SAMPLERS:
            if name.startswith("parentbased_"):
                sampler = Sampler(name, 0.0, Random(7).getrandbits)
                self.assertTrue(sampler.takes(parent(LOW - 1, is_sampled=True)))
                self.assertFalse(sampler.takes(parent(1, is_sampled=False)))

    def test_others_decide_for_themselves(self) -> None:
        self.assertTrue(Sampler("always_on", 0.0, Random().getrandbits).takes(parent(1, is_sampled=False)))
        self.assertFalse(Sampler("always_off", 1.0, Random().getrandbits).takes(parent(1, is_sampled=True)))
