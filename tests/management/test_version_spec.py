"""Who decides what about a version."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.manifest import Manifest
from modelserver.archive.model_config import ModelConfig
from modelserver.errors import ArchiveInvalid, NotEnoughDevices
from modelserver.management.models_json import VersionPreset
from modelserver.management.requests import VersionOverrides
from modelserver.management.version_spec import OpenedArchive, VersionDefaults, resolve_version_spec
from modelserver.spec import VersionSpec
from modelserver.version_settings.values import (
    Batching,
    DeviceSettings,
    QueueLimits,
    Sequences,
    Timeouts,
    WorkerStart,
)

FOUND = OpenedArchive(
    name="m",
    version="1.0",
    url="m.mar",
    folder=Path("/unpacked"),
    manifest=Manifest(handler="own", envelope="body", engine="Torch", raw={"runtime": "python"}),
)
NOBODY = (VersionOverrides(), ModelConfig(), VersionPreset(), VersionDefaults())
ALL_WORKERS = ModelConfig(settings={"min_workers": 2, "max_workers": 4})


def decided(
    overrides: VersionOverrides | None = None,
    config: ModelConfig | None = None,
    preset: VersionPreset | None = None,
    defaults: VersionDefaults | None = None,
    start_up: bool = False,
    found: OpenedArchive = FOUND,
) -> VersionSpec:
    """Decide, where most say nothing."""
    return resolve_version_spec(
        found,
        overrides or VersionOverrides(),
        config or ModelConfig(),
        preset or VersionPreset(),
        defaults or VersionDefaults(),
        start_up,
    )


class PrecedenceTests(SynchronousTestCase):
    """The caller, model-config.yaml, the models JSON, the defaults: the first who says something."""

    def test_batch_size(self) -> None:
        overrides, config, preset = (
            VersionOverrides(settings={"batch_size": 4}),
            ModelConfig(settings={"batch_size": 3}),
            VersionPreset(settings={"batch_size": 2}),
        )
        self.assertEqual(decided(overrides, config, preset).batching.size, 4)
        self.assertEqual(decided(None, config, preset).batching.size, 3)
        self.assertEqual(decided(None, None, preset).batching.size, 2)
        self.assertEqual(decided().batching.size, 1)

    def test_max_batch_delay(self) -> None:
        overrides, config = (
            VersionOverrides(settings={"max_batch_delay": 0.0}),
            ModelConfig(settings={"max_batch_delay": 3.0}),
        )
        preset = VersionPreset(settings={"max_batch_delay": 2.0})
        self.assertEqual(decided(overrides, config, preset).batching.max_delay, 0.0)
        self.assertEqual(decided(None, config, preset).batching.max_delay, 3.0)
        self.assertEqual(decided(None, None, preset).batching.max_delay, 2.0)
        self.assertEqual(decided().batching.max_delay, 0.1)

    def test_timeouts(self) -> None:
        overrides = VersionOverrides(settings={"response_timeout": 8.0, "startup_timeout": 7.0})
        config = ModelConfig(settings={"response_timeout": 6.0, "startup_timeout": 5.0})
        preset = VersionPreset(settings={"response_timeout": 4.0, "startup_timeout": 3.0})
        defaults = VersionDefaults(settings={"response_timeout": 2.0, "startup_timeout": 1.0})
        for who, expected in (
            ((overrides, config, preset, defaults), (8.0, 7.0)),
            ((None, config, preset, defaults), (6.0, 5.0)),
            ((None, None, preset, defaults), (4.0, 3.0)),
            ((None, None, None, defaults), (2.0, 1.0)),
            ((None, None, None, None), (120.0, 120.0)),
        ):
            timeouts = decided(*who).timeouts
            self.assertEqual((timeouts.response, timeouts.startup), expected)

    def test_handler(self) -> None:
        defaults = VersionDefaults(handler="default")
        without = evolve(FOUND, manifest=Manifest())
        self.assertEqual(decided(VersionOverrides(handler="wished"), defaults=defaults).handler, "wished")
        self.assertEqual(decided(defaults=defaults).handler, "own")
        self.assertEqual(decided(defaults=defaults, found=without).handler, "default")
        error = self.assertRaises(ArchiveInvalid, decided, found=without)
        self.assertEqual(str(error), "Model handler is not defined.")

    def test_runtime(self) -> None:
        preset = VersionPreset(runtime="python3")
        self.assertEqual(decided(VersionOverrides(runtime="PYTHON"), preset=preset).runtime, "python")
        self.assertEqual(decided(preset=preset).runtime, "python3")
        self.assertEqual(decided().runtime, "python")
        self.assertRaises(ArchiveInvalid, decided, preset=VersionPreset(runtime="LSP"))

    def test_envelope(self) -> None:
        self.assertEqual(decided(defaults=VersionDefaults(envelope="json")).envelope, "json")
        self.assertEqual(decided().envelope, "body")

    def test_what_only_model_config_and_defaults_say(self) -> None:
        defaults = VersionDefaults(
            settings={
                "job_queue_size": 1,
                "job_queue_bytes": 2,
                "retry_on_worker_death": 0,
                "max_requests_per_worker": 3,
                "worker_memory_limit": 4,
                "preload": "model",
            }
        )
        config = ModelConfig(
            settings={
                "job_queue_size": 5,
                "retry_on_worker_death": 1,
                "max_requests_per_worker": 0,
                "worker_memory_limit": 7,
                "preload": "imports",
            }
        )

        def told(spec: VersionSpec) -> tuple[object, ...]:
            return (
                spec.queue.jobs,
                spec.queue.size,
                spec.limits.retries,
                spec.limits.requests,
                spec.limits.memory,
                spec.start.preload,
            )

        self.assertEqual(told(decided(defaults=defaults)), (1, 2, 0, 3, 4, "model"))
        self.assertEqual(told(decided(config=config, defaults=defaults)), (5, 2, 1, 0, 7, "imports"))
        self.assertEqual(
            decided(VersionOverrides(settings={"preload": "model"}), config).start.preload, "model"
        )


class WorkersTests(SynchronousTestCase):
    """How many workers a version begins with."""

    def assert_workers(self, spec: VersionSpec, least: int, most: int) -> None:
        """Check the least and the most."""
        self.assertEqual((spec.workers.minimum, spec.workers.maximum), (least, most))

    def test_registration(self) -> None:
        defaults = VersionDefaults(workers=2, startup_workers=9)
        self.assert_workers(decided(VersionOverrides(initial_workers=3), defaults=defaults), 3, 3)
        self.assert_workers(decided(VersionOverrides(initial_workers=0), defaults=defaults), 0, 0)
        self.assert_workers(decided(VersionOverrides(initial_workers=-1), defaults=defaults), 0, 0)
        self.assert_workers(decided(defaults=defaults), 2, 2)
        self.assert_workers(decided(), 0, 0)

    def test_registration_does_not_look_at_the_models_json(self) -> None:
        self.assert_workers(
            decided(preset=VersionPreset(settings={"min_workers": 3, "max_workers": 4})), 0, 0
        )

    def test_model_config_goes_before_initial_workers(self) -> None:
        self.assert_workers(decided(VersionOverrides(initial_workers=1), ALL_WORKERS), 2, 4)

    def test_start_up(self) -> None:
        defaults = VersionDefaults(workers=0, startup_workers=3)
        for preset, least, most in (
            (VersionPreset(settings={"min_workers": 1, "max_workers": 2}), 1, 2),
            (VersionPreset(settings={"min_workers": 5}), 5, 5),
            (VersionPreset(settings={"max_workers": 6}), 3, 6),
            (VersionPreset(settings={"max_workers": 1}), 3, 3),
            (VersionPreset(), 3, 3),
        ):
            self.assert_workers(decided(None, None, preset, defaults, start_up=True), least, most)

    def test_start_up_with_model_config(self) -> None:
        preset = VersionPreset(settings={"min_workers": 1, "max_workers": 1})
        self.assert_workers(decided(None, ALL_WORKERS, preset, start_up=True), 2, 4)

    def test_snapshot_goes_before_everything(self) -> None:
        self.assert_workers(
            decided(VersionOverrides(settings={"min_workers": 0, "max_workers": 3}), ALL_WORKERS), 0, 3
        )
        self.assert_workers(decided(VersionOverrides(settings={"min_workers": 1}), ALL_WORKERS), 1, 1)

    def test_start_up_is_noted(self) -> None:
        self.assertTrue(decided(start_up=True).loaded_at_startup)
        self.assertFalse(decided().loaded_at_startup)


class WorkerStartTests(SynchronousTestCase):
    """Workers come from a template where one can be had."""

    def test_rows(self) -> None:
        with_gpus = VersionDefaults(number_of_gpu=2)
        for expected, overrides, config, defaults in (
            ("template", None, None, None),
            (
                "spawn",
                VersionOverrides(settings={"worker_start": "spawn"}),
                ModelConfig(settings={"worker_start": "template"}),
                None,
            ),
            ("spawn", None, ModelConfig(settings={"worker_start": "spawn"}), None),
            ("spawn", None, None, VersionDefaults(settings={"worker_start": "spawn"})),
            ("spawn", None, None, VersionDefaults(can_fork=False)),
            (
                "spawn",
                VersionOverrides(settings={"worker_start": "template"}),
                None,
                VersionDefaults(can_fork=False),
            ),
            (
                "spawn",
                VersionOverrides(settings={"worker_start": "template"}),
                ModelConfig(settings={"use_venv": True}),
                None,
            ),
            (
                "spawn",
                VersionOverrides(settings={"worker_start": "template"}),
                ModelConfig(settings={"parallel_level": 1}),
                None,
            ),
            ("spawn", None, None, with_gpus),
            ("template", None, ModelConfig(settings={"device_type": "cpu"}), with_gpus),
            ("template", VersionOverrides(settings={"worker_start": "template"}), None, with_gpus),
        ):
            spec = decided(overrides, config, None, defaults)
            self.assertEqual(spec.start.method, expected, (overrides, config, defaults))


class DeviceTests(SynchronousTestCase):
    """A worker that spans devices needs that many."""

    def test_too_many(self) -> None:
        for config in (
            ModelConfig(settings={"parallel_type": "tp", "parallel_level": 3}),
            ModelConfig(settings={"parallel_type": "tp", "parallel_level": 2, "device_ids": (1,)}),
        ):
            error = self.assertRaises(
                NotEnoughDevices, decided, config=config, defaults=VersionDefaults(number_of_gpu=2)
            )
            self.assertEqual(
                str(error),
                f"No enough gpu devices for model:m parallelLevel:{config.settings['parallel_level']}",
            )

    def test_enough(self) -> None:
        for config, gpus in (
            (ModelConfig(settings={"parallel_type": "tp", "parallel_level": 2}), 2),
            (ModelConfig(settings={"parallel_type": "tp", "parallel_level": 3}), 0),
            (ModelConfig(settings={"parallel_type": "tp", "parallel_level": 3, "device_type": "cpu"}), 2),
        ):
            spec = decided(config=config, defaults=VersionDefaults(number_of_gpu=gpus))
            self.assertEqual(spec.devices.parallel_level, config.settings["parallel_level"])


class WholeTests(SynchronousTestCase):
    """What is found and configured arrives whole."""

    def test_archive_that_says_nothing(self) -> None:
        found = evolve(FOUND, manifest=Manifest())
        spec = decided(VersionOverrides(handler="h"), found=found)
        self.assertEqual(
            spec,
            VersionSpec(
                *("m", "1.0", "m.mar", Path("/unpacked"), "h"),
                start=WorkerStart("template"),
                given_handler="h",
            ),
        )

    def test_model_config(self) -> None:
        config = ModelConfig(
            document={"handler": {"a": 1}},
            settings={
                "recovery": 5.0,
                "client_timeout": 0.5,
                "device_type": "gpu",
                "device_ids": (1,),
                "parallel_type": "custom",
                "parallel_level": 1,
                "job_tickets": True,
                "use_venv": True,
                "continuous_batching": True,
                "async_communication": True,
                "stateful": True,
                "sequence_max_idle": 1.0,
                "sequence_timeout": 2.0,
                "sequence_jobs": 3,
                "max_sequences": 4,
            },
        )
        defaults = VersionDefaults(number_of_gpu=2, settings={"worker_grace": 1.0})
        self.assertEqual(
            decided(config=config, defaults=defaults),
            VersionSpec(
                "m",
                "1.0",
                "m.mar",
                Path("/unpacked"),
                "own",
                engine="Torch",
                manifest={"runtime": "python"},
                config={"handler": {"a": 1}},
                envelope="body",
                timeouts=Timeouts(recovery=5.0, grace=1.0),
                client_timeout=0.5,
                devices=DeviceSettings("gpu", (1,), "custom", 1),
                batching=Batching(continuous=True, asynchronous=True),
                queue=QueueLimits(tickets=True),
                sequences=Sequences(1.0, 2.0, 3, 4, enabled=True),
                start=WorkerStart("spawn", use_venv=True),
            ),
        )
