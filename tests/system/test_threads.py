"""Threads of workers: a share of the processors, unless somebody has said otherwise."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from modelserver.system.threads import COUNTS, ProcessorShare, number_of_threads, thread_variables


def counts(number: int) -> dict[str, str]:
    """The three variables with one value."""
    return dict.fromkeys(COUNTS, str(number))


class ThreadTests(TestCase):
    """What a worker's environment gets."""

    def test_processors_are_shared_out(self) -> None:
        cases = ((8, 1, 8), (8, 3, 2), (8, 0, 8), (2, 4, 1), (1.5, 1, 1), (0.5, 1, 1))
        for processors, workers, threads in cases:
            with self.subTest(processors=processors, workers=workers):
                self.assertEqual(ProcessorShare(processors, workers).threads, threads)

    @given(st.integers(1, 64), st.integers(1, 64))
    def test_workers_fit_unless_there_are_too_many(self, processors: int, workers: int) -> None:
        share = ProcessorShare(processors, workers)
        self.assertEqual(share.is_crowded(share.threads), workers > processors)

    def test_nothing_is_set(self) -> None:
        self.assertEqual(thread_variables(ProcessorShare(4, 2), {"PATH": "x"}), counts(2))

    def test_more_workers_than_processors_wait_passively(self) -> None:
        self.assertEqual(
            thread_variables(ProcessorShare(2, 3), {}), {**counts(1), "OMP_WAIT_POLICY": "passive"}
        )

    def test_what_is_set_stays(self) -> None:
        share = ProcessorShare(4, 2)
        self.assertEqual(thread_variables(share, {"OMP_NUM_THREADS": "2"}), {})
        self.assertEqual(thread_variables(share, {"OMP_NUM_THREADS": "3"}), {"OMP_WAIT_POLICY": "passive"})
        self.assertEqual(thread_variables(share, {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "active"}), {})
        left = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
        self.assertEqual(thread_variables(share, {"MKL_NUM_THREADS": "1"}), left)

    def test_number_that_an_environment_says(self) -> None:
        for text, number in (("3", 3), ("4,2", 4), (" 2 ", 2), ("0", None), ("many", None), ("", None)):
            self.assertEqual(number_of_threads({"OMP_NUM_THREADS": text}), number)
        self.assertIsNone(number_of_threads({}))
