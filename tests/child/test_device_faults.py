"""Which exceptions of a handler say that its process can use the device no more."""

from __future__ import annotations

from unittest import TestCase

from modelserver.child.context import Context
from modelserver.child.device_faults import DeviceFailed, DeviceWatch, watch_of_torch
from modelserver.child.failures import report_failure
from modelserver.child.loops.calls import handler_call, last_rows


def torch_error(name: str, text: str, code: int | None = None) -> RuntimeError:
    """An exception as torch raises it: its class is known by its name, and the number is an attribute."""
    error: RuntimeError = type(name, (RuntimeError,), {"__module__": "torch"})(text)
    if code is not None:
        error.error_code = code  # type: ignore[attr-defined]  # as torch sets it
    return error


ASSERT = torch_error("AcceleratorError", "CUDA error: device-side assert triggered\nCompile with ...", 710)
FULL = torch_error("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB.")


def watch(is_poisoned: bool = False, is_full: bool = False) -> DeviceWatch:
    """A watch over a device that answers so."""
    return DeviceWatch(lambda: is_poisoned, lambda: is_full)


class WatchTests(TestCase):
    """What a watch makes of exceptions."""

    def fault(self, error: BaseException, **device: bool) -> int | str | None:
        """The number of the fault, or its name where it has none; "-" where there is no fault."""
        try:
            watch(**device).check(error)
        except DeviceFailed as failed:
            return failed.fault.name if failed.fault.code is None else failed.fault.code
        return "-"

    def test_by_class_and_number(self) -> None:
        for code in (214, 700, 710, 716, 719, 999):
            self.assertEqual(self.fault(torch_error("AcceleratorError", "CUDA error", code)), code)
        for code in (1, 98, 209, 701):  # a wrong argument, a kernel that is not there, too many resources
            error = torch_error("AcceleratorError", "CUDA error", code)
            self.assertEqual(self.fault(error, is_poisoned=True), "-")

    def test_other_exceptions_say_nothing_whatever_their_text(self) -> None:
        for error in (
            ValueError("CUDA error: device-side assert triggered"),
            RuntimeError("device-side assert triggered"),
            type("AcceleratorError", (RuntimeError,), {"error_code": 710})("CUDA error"),  # not torch's
        ):
            self.assertEqual(self.fault(error, is_poisoned=True), "-")

    def test_where_torch_has_no_number_the_device_is_asked(self) -> None:
        old = RuntimeError("CUDA error: device-side assert triggered")
        self.assertEqual(self.fault(old), "-")
        self.assertEqual(self.fault(old, is_poisoned=True), "it refuses all work")
        self.assertEqual(
            self.fault(torch_error("AcceleratorError", "CUDA error"), is_poisoned=True), "it refuses all work"
        )

    def test_what_a_handler_has_wrapped_is_found(self) -> None:
        try:
            try:
                raise ASSERT
            except RuntimeError as error:
                raise ValueError("the model failed") from error
        except ValueError as wrapped:
            self.assertEqual(self.fault(wrapped), 710)
        circle = ValueError("one")
        circle.__context__ = KeyError("other")
        circle.__context__.__context__ = circle
        self.assertEqual(self.fault(circle), "-")

    def test_want_of_memory_counts_where_the_device_stays_full(self) -> None:
        for error in (FULL, torch_error("AcceleratorError", "CUDA error: out of memory", 2)):
            self.assertEqual(self.fault(error), "-")
            self.assertEqual(self.fault(error, is_full=True), 2)

    def test_the_frames_of_the_exception_hold_nothing_when_memory_is_asked_for(self) -> None:
        held: list[object] = []

        class Tensor:
            def __del__(self) -> None:
                held.clear()

        def handle() -> None:
            tensor = Tensor()
            held.append(1)
            raise FULL from ValueError(str(type(tensor)))

        asked: list[bool] = []

        def is_full() -> bool:
            asked.append(bool(held))
            return False

        try:
            handle()
        except RuntimeError as error:
            DeviceWatch(lambda: False, is_full).check(error)
        self.assertEqual(asked, [False])

    def test_report(self) -> None:
        with self.assertRaises(DeviceFailed) as caught:
            watch().check(ASSERT)
        report = caught.exception.fault.report()
        text = "CUDA error 710 (device-side assert): CUDA error: device-side assert triggered"
        self.assertEqual((report["exception"], report["text"]), ("AcceleratorError", text))
        self.assertEqual(report["device_code"], 710)

    def test_without_torch_there_is_no_device_to_ask(self) -> None:
        watch_of_torch().check(RuntimeError("CUDA error: unknown"))
        watch_of_torch().check(FULL)


class CallTests(TestCase):
    """A handler whose device fails ends its process, whatever it does with exceptions."""

    def test_a_call_whose_device_failed_has_no_rows(self) -> None:
        context = Context("m", "/m", None, 1, 0, "1")
        context.device_watch = watch()

        def handle(data: object, context: Context) -> object:
            raise ASSERT

        call = handler_call(handle, context, last_rows(100))
        self.assertRaises(DeviceFailed, call, [{"body": b"x"}], [])

    def test_without_a_watch_it_is_an_exception_as_any_other(self) -> None:
        report_failure(ASSERT, Context("m", "/m", None, 1, 0, "1"))
