"""Where autoscaling and its bounds come from: the caller, the archive, the defaults, a snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import TestCase

from modelserver.archive.manifest import Manifest
from modelserver.archive.model_config import read_model_config
from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.management.call_parameters import Fields
from modelserver.management.models_json import VersionPreset
from modelserver.management.parameters import register_request, scale_request
from modelserver.management.snapshots.format import parse_snapshot, render_snapshot, take_snapshot
from modelserver.management.snapshots.values import SnapshotInvalid
from modelserver.management.version_spec import OpenedArchive, VersionDefaults, resolve_version_spec
from modelserver.spec import ScalingDescription, VersionDescription, VersionSpec
from modelserver.testing.providers import make_spec
from modelserver.version_settings.values import Autoscaling, WorkerRange

DEFAULTS = VersionDefaults(workers=0, usual_ceiling=6, most_workers=32)


def resolved(
    parameters: dict[str, object],
    config: dict[str, object] | None = None,
    defaults: VersionDefaults = DEFAULTS,
) -> VersionSpec:
    """Return the spec that follows from the parameters of a registration and a model-config."""
    return resolve_version_spec(
        OpenedArchive("m", "1.0", "m.mar", Path("/f"), Manifest(handler="own")),
        register_request(Fields({"url": "m.mar", **parameters})).overrides,
        read_model_config(config or {}, 0)[0],
        VersionPreset(),
        defaults,
    )


def bounds(*arguments: object) -> tuple[int, int]:
    """Return the workers of what is resolved."""
    workers = resolved(*arguments).workers  # type: ignore[arg-type]  # as above
    return workers.minimum, workers.maximum


class BoundsTests(TestCase):
    """The least and the most workers of a version with autoscale."""

    def test_off_nothing_is_different(self) -> None:
        spec = resolved({"min_worker": "3", "max_worker": "5", "initial_workers": "2"})
        self.assertEqual((spec.workers, spec.autoscaling), (WorkerRange(2, 2), Autoscaling()))

    def test_parameters(self) -> None:
        given = {"autoscale": "true", "min_worker": "0", "max_worker": "4", "target_queue_time": "50"}
        spec = resolved({**given, "idle_timeout": "9", "keep_template": "false", "load_timeout": "7"})
        self.assertEqual(spec.workers, WorkerRange(0, 4))
        self.assertEqual(spec.autoscaling, Autoscaling(True, 0.05, 9.0, keep_template=False))
        self.assertEqual(spec.timeouts.load, 7.0)

    def test_where_nobody_says(self) -> None:
        on: dict[str, object] = {"autoscale": "true"}
        self.assertEqual(bounds(on), (1, 6))
        self.assertEqual(bounds({**on, "initial_workers": "0"}), (0, 6))
        self.assertEqual(bounds({**on, "initial_workers": "8"}), (8, 8))
        self.assertEqual(bounds({**on, "max_worker": "99"}), (1, 32))

    def test_the_archive(self) -> None:
        config: dict[str, object] = {"minWorkers": 2, "maxWorkers": 3, "autoscaling": {}}
        self.assertEqual(bounds({}, config), (2, 3))
        self.assertEqual(bounds({}, {**config, "autoscaling": {"minWorkers": 0, "maxWorkers": 9}}), (0, 9))
        self.assertEqual(bounds({"autoscale": "true", "min_worker": "1"}, config), (1, 3))
        self.assertFalse(resolved({"autoscale": "false"}, config).autoscaling.enabled)

    def test_the_default_of_the_server(self) -> None:
        defaults = VersionDefaults(usual_ceiling=6, settings={"autoscale": True})
        self.assertEqual(bounds({}, {}, defaults), (1, 6))
        sequences: dict[str, object] = {"sequenceBatching": True, "sequenceMaxIdleMSec": 9}
        self.assertFalse(resolved({}, sequences, defaults).autoscaling.enabled)


class RefusedTests(TestCase):
    """What is refused, with the key in the text."""

    def assert_refused(self, word: str, parameters: dict[str, object]) -> None:
        for read in (
            lambda: register_request(Fields({"url": "m.mar", **parameters})),
            lambda: scale_request("m", None, Fields(parameters)),
        ):
            with self.assertRaises(BadRequest) as caught:
                read()
            self.assertIn(word, str(caught.exception))

    def test_bounds(self) -> None:
        for word, parameters in (
            ("max_worker", {"min_worker": "3", "max_worker": "2"}),
            ("min_worker", {"min_worker": "-1"}),
            ("max_worker", {"max_worker": "-1"}),
            ("min_worker", {"min_worker": "two"}),
            ("max_worker", {"max_worker": "1.5"}),
            ("max_worker", {"max_worker": "100000"}),
        ):
            with self.subTest(parameters):
                self.assert_refused(word, {"autoscale": "true", **parameters})

    def test_settings(self) -> None:
        for name in ("target_queue_time", "idle_timeout", "scale_down_delay"):
            for value in ("0", "-1", "soon"):
                with self.subTest(name, value=value):
                    self.assert_refused(name, {name: value})
        self.assert_refused("autoscale", {"autoscale": "maybe"})
        self.assert_refused("keep_template", {"keep_template": "1"})

    def test_without_it_the_peers_ways_hold(self) -> None:
        request = scale_request("m", None, Fields({"min_worker": "two"}))
        self.assertEqual((request.minimum, request.maximum, request.settings), (1, 1, {}))

    def test_too_many(self) -> None:
        with self.assertRaisesRegex(BadRequest, "min_worker is 33, max_workers_per_model is 32"):
            resolved({"autoscale": "true", "min_worker": "33"})
        with self.assertRaisesRegex(BadRequest, "max_worker .2. cannot be less than min_worker .4."):
            resolved({"autoscale": "true", "min_worker": "4"}, {"autoscaling": {"maxWorkers": 2}})

    def test_sequences(self) -> None:
        sequences: dict[str, object] = {"sequenceBatching": True, "sequenceMaxIdleMSec": 9}
        with self.assertRaisesRegex(BadRequest, "sequenceBatching"):
            resolved({"autoscale": "true"}, sequences)
        with self.assertRaisesRegex(ArchiveInvalid, "sequenceBatching"):
            resolved({}, {**sequences, "autoscaling": {}})


class SnapshotTests(TestCase):
    """A snapshot keeps the settings, and not how many workers there are."""

    def test_settings_come_back(self) -> None:
        settings = Autoscaling(True, 0.05, 9.0, 4.0, keep_template=False)
        spec = make_spec("m", autoscaling=settings, workers=WorkerRange(0, 4), load_timeout=7.0)
        described = VersionDescription(spec, True, (), scaling=ScalingDescription(settings, wanted=3))
        text = render_snapshot(take_snapshot("s", 0.0, [described]))
        values = json.loads(text)["models"]["m"]["1.0"]
        self.assertEqual((values["minWorkers"], values["maxWorkers"]), (0, 4))
        overrides = parse_snapshot(text).models["m"]["1.0"].overrides()
        found = OpenedArchive("m", "1.0", "m.mar", Path("/f"), Manifest(handler="own"))
        config = read_model_config({}, 0)[0]
        again = resolve_version_spec(found, overrides, config, VersionPreset(), DEFAULTS, start_up=True)
        self.assertEqual((again.workers, again.autoscaling), (spec.workers, settings))
        self.assertEqual(again.timeouts.load, 7.0)

    def test_a_version_without_it_has_no_such_part(self) -> None:
        snapshot = take_snapshot("s", 0.0, [VersionDescription(make_spec("m"), True, ())])
        self.assertNotIn("autoscaling", render_snapshot(snapshot))

    def test_one_that_was_switched_off_stays_off(self) -> None:
        spec = make_spec("m", workers=WorkerRange(2, 2))
        described = VersionDescription(spec, True, (), scaling=ScalingDescription(Autoscaling()))
        text = render_snapshot(take_snapshot("s", 0.0, [described]))
        self.assertIs(parse_snapshot(text).models["m"]["1.0"].overrides().settings["autoscale"], False)

    def test_a_wrong_part_is_refused(self) -> None:
        document = {"models": {"m": {"1": {"marName": "m.mar", "autoscaling": {"enabled": "yes"}}}}}
        with self.assertRaisesRegex(SnapshotInvalid, "autoscaling.enabled"):
            parse_snapshot(json.dumps(document))
