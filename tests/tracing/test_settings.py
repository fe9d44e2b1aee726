"""What variables and keys say about traces."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.tracing.outbound import OutboundLimits
from modelserver.tracing.settings import ENDPOINT, TRACES_ENDPOINT, TracingSettings, read_settings

HERE = {ENDPOINT: "http://127.0.0.1:4318"}


class SwitchTests(SynchronousTestCase):
    """When requests are traced."""

    def test_off_where_nothing_is_said(self) -> None:
        self.assertEqual(TracingSettings(), read_settings(None, {}, {"PATH": "/bin"}))

    def test_on_where_an_endpoint_is_named(self) -> None:
        self.assertTrue(read_settings(None, HERE, {}).is_on)
        self.assertTrue(read_settings(None, {}, HERE).is_on)
        self.assertTrue(read_settings(None, {}, {TRACES_ENDPOINT: "http://h/v1/traces"}).is_on)
        self.assertFalse(read_settings(None, {}, {ENDPOINT: ""}).is_on)

    def test_the_key_decides_before_that(self) -> None:
        self.assertTrue(read_settings(True, {}, {}).is_on)
        self.assertFalse(read_settings(False, {}, HERE).is_on)

    def test_variables_that_switch_the_sdk_off_do(self) -> None:
        self.assertFalse(read_settings(True, {}, {**HERE, "OTEL_SDK_DISABLED": "true"}).is_on)
        self.assertFalse(read_settings(True, {}, {**HERE, "OTEL_TRACES_EXPORTER": "none"}).is_on)

    def test_lines_of_the_log_are_wanted_by_their_name_alone(self) -> None:
        found = read_settings(None, {}, {"OTEL_TRACES_EXPORTER": "console"})
        self.assertTrue(found.is_on and found.is_logged)
        self.assertFalse(read_settings(False, {}, {"OTEL_TRACES_EXPORTER": "console"}).is_on)

    def test_other_exporters_are_told_and_spans_are_sent(self) -> None:
        found = read_settings(True, {}, {"OTEL_TRACES_EXPORTER": "zipkin"})
        self.assertFalse(found.is_logged)
        self.assertIn("zipkin", found.warnings[0])


class ValueTests(SynchronousTestCase):
    """How requests are traced."""

    def test_variables_go_before_keys(self) -> None:
        keys = {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_BSP_MAX_QUEUE_SIZE": "10", **HERE}
        found = read_settings(True, keys, {"OTEL_TRACES_SAMPLER": "always_on"})
        self.assertEqual("always_on", found.sampler)
        self.assertEqual(OutboundLimits(10, 10, 5.0), found.limits)

    def test_endpoint_of_a_key_is_given_to_the_exporter_and_that_of_a_variable_is_not(self) -> None:
        self.assertEqual("http://127.0.0.1:4318/v1/traces", read_settings(True, HERE, {}).endpoint)
        self.assertIsNone(read_settings(True, HERE, {ENDPOINT: "http://other:1"}).endpoint)

    def test_time_to_send_is_in_milliseconds_as_the_specification_says(self) -> None:
        name = "OTEL_EXPORTER_OTLP_TIMEOUT"
        rows: tuple[tuple[dict[str, str], float, int], ...] = (
            ({}, 10.0, 0),
            ({name: "2500"}, 2.5, 0),
            ({name: "2500", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "500"}, 0.5, 0),
            ({name: "10"}, 0.01, 1),
            ({name: "soon"}, 10.0, 1),
        )
        for given, expected, warnings in rows:
            found = read_settings(True, {}, {**HERE, **given})
            self.assertEqual((found.export_timeout, len(found.warnings)), (expected, warnings), given)

    def test_ratio(self) -> None:
        given = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
        self.assertEqual(0.25, read_settings(True, {}, given).ratio)

    def test_what_cannot_be_read_is_told_and_the_usual_holds(self) -> None:
        for name, text in (
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "²"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-3"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9" * 10),
        ):
            found = read_settings(True, {}, {name: text})
            self.assertTrue(found.is_on)
            self.assertIn(name, found.warnings[0])
            self.assertEqual(OutboundLimits(), found.limits)
        for ratio in ("2", "nan", "x", ""):
            given = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
            found = read_settings(True, {}, given)
            self.assertEqual((1.0, 1), (found.ratio, len(found.warnings)))

    def test_resource_of_keys_leaves_out_what_variables_say(self) -> None:
        keys = {"OTEL_RESOURCE_ATTRIBUTES": "a=1, b=2"}
        self.assertEqual(
            {"service.name": "modelserver", "a": "1", "b": "2"}, read_settings(True, keys, {}).resource
        )
        environ = {"OTEL_RESOURCE_ATTRIBUTES": "a=9", "OTEL_SERVICE_NAME": "mine"}
        self.assertEqual({"b": "2"}, read_settings(True, keys, environ).resource)
