"""The checks of a real GPU: what they take for right, how they are told, and that each has its time."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import TestCase

from attrs import define, field
from twisted.internet.task import Clock

from bench.gpu.checks import device_side_assert, memory_for_good
from bench.gpu.device import Device, apart, bare_uuid, told_bytes, told_of_worker, with_context
from bench.gpu.rig import CheckFailed, GpuServer, NotTold, Rig
from bench.gpu_check import (
    LAST_SECONDS,
    Outcome,
    Verdict,
    bounded,
    check_all,
    give_up,
    judge,
    main,
    run,
    summary,
)
from bench.load import LoadFailed
from bench.target import TargetFailed

METRICS = """# TYPE modelserver_gpu_memory_bytes gauge
modelserver_gpu_memory_bytes{gpu="0"} 2147483648.0
modelserver_gpu_memory_bytes{gpu="12"} 1.5e+09
other{gpu="0"} 7.0
"""
ASSERTED = "503 CUDA error: device-side assert triggered"
WHO = '200 {"pid": 7, "uuid": "a"}'


@define
class Scripted(GpuServer):
    """A server that answers each question with what was written down, one after the other."""

    script: dict[tuple[str, str], list[str]] = field(factory=dict)

    def have(self, model: str, workers: int = 1) -> None:
        pass

    def ask(self, model: str, text: str) -> tuple[int, str]:
        code, _, answer = self.script[model, text].pop(0).partition(" ")
        return int(code), answer


def rig_of(script: dict[tuple[str, str], list[str]] | None = None) -> Rig:
    """Return a rig whose server follows a script."""
    library = cast("Any", SimpleNamespace())
    return Rig(
        Scripted("modelserver", Path("/nowhere"), script=script or {}), Device(library), Path("/nowhere")
    )


def failing(error: Exception) -> Callable[[Rig], str]:
    """Return a check that raises."""

    def check(rig: Rig) -> str:
        raise error

    return check


class ComparisonTests(TestCase):
    """What the server says beside what NVML says."""

    def test_bytes_by_device(self) -> None:
        self.assertEqual(told_bytes(METRICS), {0: 2 << 30, 12: 1_500_000_000})

    def test_bytes_of_a_worker(self) -> None:
        described = [{"workers": [{"pid": 7, "gpuMemory": 5}, {"pid": 8}]}]
        self.assertEqual([told_of_worker(described, pid) for pid in (7, 8, 9)], [5, 0, 0])

    def test_how_far_apart(self) -> None:
        self.assertAlmostEqual(apart(98, 100), 0.02)
        self.assertEqual((apart(0, 0), apart(1, 0)), (0.0, float("inf")))

    def test_uuids_of_the_driver_and_of_torch_are_the_same(self) -> None:
        self.assertEqual(bare_uuid("GPU-AB-12"), bare_uuid("ab-12"))

    def test_processes_with_a_context(self) -> None:
        self.assertEqual(with_context([3, 1, 2], [2, 3, 9]), [2, 3])


class AssertTests(TestCase):
    """The check of an assert on the device."""

    def check(self, broken: str = ASSERTED, following: str = "200 1024", other: str = WHO) -> str:
        script = {
            ("first", "assert"): [broken],
            ("first", "add"): [following],
            ("other", "who"): [WHO, other],
        }
        return device_side_assert(rig_of(script))

    def test_it_is_well(self) -> None:
        self.assertTrue(self.check().startswith("503 with the cause"))

    def test_the_request_has_to_fail(self) -> None:
        with self.assertRaisesRegex(CheckFailed, "answered 200"):
            self.check(broken="200 1024")

    def test_the_cause_has_to_be_told(self) -> None:
        with self.assertRaisesRegex(CheckFailed, "does not tell the cause"):
            self.check(broken="500 Prediction failed")

    def test_the_next_request_has_to_be_answered(self) -> None:
        with self.assertRaisesRegex(CheckFailed, "next request was answered 503"):
            self.check(following=ASSERTED)

    def test_the_other_model_has_to_keep_its_worker(self) -> None:
        with self.assertRaisesRegex(CheckFailed, "other model"):
            self.check(other='200 {"pid": 8, "uuid": "a"}')


class MemoryTests(TestCase):
    """The check of memory that stays full."""

    def check(self, pid: int) -> str:
        script = {
            ("full", "who"): [WHO, f'200 {{"pid": {pid}, "uuid": "a"}}'],
            ("full", "fill"): ["500 out of memory"],
            ("full", "add"): ["200 1024"],
        }
        return memory_for_good(rig_of(script))

    def test_another_worker_has_to_answer(self) -> None:
        self.assertIn("a new worker", self.check(pid=8))
        with self.assertRaisesRegex(CheckFailed, "same worker"):
            self.check(pid=7)


class OutcomeTests(TestCase):
    """How checks are judged and told."""

    def test_a_figure_a_failure_and_what_cannot_be_told(self) -> None:
        verdicts = [
            judge("one", check, rig_of()).verdict
            for check in (lambda rig: "1.0", failing(CheckFailed("no")), failing(NotTold("here")))
        ]
        self.assertEqual(verdicts, [Verdict.PASS, Verdict.FAIL, Verdict.SKIP])

    def test_a_server_that_breaks_the_connection_is_a_failure(self) -> None:
        self.assertEqual(judge("one", failing(OSError("reset")), rig_of()).text, "OSError: reset")

    def test_what_nobody_has_thought_of_is_a_failure_of_that_check_alone(self) -> None:
        for error in (LoadFailed("no client"), KeyError("pid"), ZeroDivisionError("no calls")):
            outcome = judge("one", failing(error), rig_of())
            self.assertEqual(outcome.verdict, Verdict.FAIL)
            self.assertTrue(outcome.text.startswith(f"{type(error).__name__}: "), outcome.text)

    def test_a_line_has_no_line_breaks(self) -> None:
        outcome = Outcome("bytes", Verdict.FAIL, "first\n  second", 1.25)
        self.assertEqual(outcome.line(), "FAIL  bytes (1.2 s): first second")

    def test_the_summary_counts_verdicts(self) -> None:
        outcomes = [Outcome("a", Verdict.PASS, ""), Outcome("b", Verdict.SKIP, "")]
        self.assertEqual(summary(outcomes), "1 PASS, 0 FAIL, 1 SKIP")

    def test_no_check_is_begun_when_the_time_is_over(self) -> None:
        clock = Clock()

        def slow(rig: Rig) -> str:
            clock.advance(95.0)
            return "done"

        outcomes = list(run(rig_of(), {"first": slow, "second": slow}, 100.0, clock.seconds))
        self.assertEqual([each.verdict for each in outcomes], [Verdict.PASS, Verdict.FAIL])
        self.assertEqual(outcomes[1].text, "not made: the time is over")

    def test_server_that_does_not_start_is_told_and_ended(self) -> None:
        class Broken(Scripted):
            stopped = False

            def start(self) -> float:
                raise TargetFailed("modelserver did not start:\nno driver")

            def stop(self) -> None:
                self.stopped = True

        server, printed = Broken("modelserver", Path("/nowhere")), io.StringIO()
        with redirect_stdout(printed):
            (outcome,) = check_all(server, rig_of().device, Path("/nowhere"), {})
        self.assertEqual(outcome.verdict, Verdict.FAIL)
        self.assertIn("modelserver did not start: no driver", printed.getvalue())
        self.assertTrue(server.stopped)

    def test_words_that_no_check_has_are_refused(self) -> None:
        before, sys.argv = sys.argv, ["gpu_check", "--only", "nothing like it"]
        self.addCleanup(setattr, sys, "argv", before)
        with redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as ended:
            main()
        self.assertEqual(ended.exception.code, 2)

    def test_the_last_way_out_tells_and_ends_with_1(self) -> None:
        done: list[object] = []
        printed = io.StringIO()
        with redirect_stdout(printed):
            give_up(LAST_SECONDS, lambda: done.append("killed"), done.append)
        self.assertEqual(done, ["killed", 1])
        self.assertTrue(printed.getvalue().startswith("FAIL  the whole (470.0 s): "), printed.getvalue())

    def test_what_takes_too_long_is_interrupted(self) -> None:
        with self.assertRaisesRegex(CheckFailed, "not over"), bounded(0.01):
            while True:
                pass
