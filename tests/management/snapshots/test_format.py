"""Snapshots are written as TorchServe writes them, and read whoever wrote them."""

from __future__ import annotations

import json
import os
from datetime import timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.manifest import Manifest
from modelserver.archive.model_config import ModelConfig
from modelserver.config.loading import parse_properties
from modelserver.management.models_json import VersionPreset
from modelserver.management.requests import VersionOverrides
from modelserver.management.snapshots.format import (
    CHANGED,
    SHUTDOWN,
    STARTUP,
    Snapshot,
    SnapshotVersion,
    newest_snapshot,
    parse_snapshot,
    remove_oldest,
    render_file,
    render_snapshot,
    snapshot_name,
    take_snapshot,
    write_snapshot,
)
from modelserver.management.snapshots.values import SnapshotInvalid
from modelserver.management.version_spec import OpenedArchive, VersionDefaults, resolve_version_spec
from modelserver.spec import VersionDescription, VersionSpec
from modelserver.version_settings.placing import read_resources
from modelserver.version_settings.values import (
    AUTO_DELAY,
    Batching,
    DeviceSettings,
    Placement,
    Timeouts,
    WorkerRange,
)

# As TorchServe 0.12.0 wrote it on a machine without GPUs, but for the paths.
BY_TORCHSERVE = r"""#Saving snapshot
#Sun Nov 22 03:24:13 UTC 2026
inference_address=http\://127.0.0.1\:18080
default_workers_per_model=1
load_models=noop.mar,zwei\=noop2.mar
model_store=store
number_of_gpu=0
python=/opt/ts/bin/python3
model_snapshot={\n  "name"\: "20261122032413160-startup.cfg",\n  "modelCount"\: 2,\n  "created"\: 1795317853161,\n  "models"\: {\n    "noop"\: {\n      "1.0"\: {\n        "defaultVersion"\: true,\n        "marName"\: "noop.mar",\n        "minWorkers"\: 1,\n        "maxWorkers"\: 2,\n        "batchSize"\: 4,\n        "maxBatchDelay"\: 50,\n        "responseTimeout"\: 33,\n        "startupTimeout"\: 120,\n        "runtimeType"\: "python"\n      }\n    },\n    "zwei"\: {\n      "2.1"\: {\n        "defaultVersion"\: true,\n        "marName"\: "noop2.mar",\n        "minWorkers"\: 1,\n        "maxWorkers"\: 1,\n        "batchSize"\: 1,\n        "maxBatchDelay"\: 100,\n        "responseTimeout"\: 120,\n        "startupTimeout"\: 120,\n        "runtimeType"\: "python"\n      }\n    }\n  }\n}
tsConfigFile=ts.properties
version=0.12.0
"""  # noqa: E501  # as it was written

NOOP = SnapshotVersion(
    archive="noop.mar",
    is_default=True,
    min_workers=1,
    max_workers=2,
    batch_size=4,
    max_batch_delay=0.05,
    response_timeout=33.0,
)
READ = Snapshot(
    name="20261122032413160-startup.cfg",
    created=1795317853.161,
    models={
        "noop": {"1.0": NOOP},
        "zwei": {"2.1": SnapshotVersion(archive="noop2.mar", is_default=True)},
    },
)

NAMES = st.text(alphabet="abcdefgh0123456789_-.", min_size=1)
VERSIONS = st.builds(
    SnapshotVersion,
    archive=NAMES,
    is_default=st.booleans(),
    min_workers=st.just(2),
    max_workers=st.integers(2, 99),
    batch_size=st.integers(1, 99),
    max_batch_delay=st.just(AUTO_DELAY)
    | st.integers(0, 99999).map(lambda milliseconds: milliseconds * 0.001),
    response_timeout=st.integers(1, 9999).map(float),
    startup_timeout=st.integers(1, 9999).map(float),
    runtime=st.sampled_from(["python", "python3"]),
    parallel_level=st.integers(0, 8),
    autoscaling=st.none()
    | st.fixed_dictionaries(
        {
            "autoscale": st.booleans(),
            "target_queue_time": st.integers(1, 9999).map(lambda milliseconds: milliseconds * 0.001),
            "idle_timeout": st.integers(1, 9999).map(float),
            "scale_down_delay": st.integers(1, 9999).map(float),
            "keep_template": st.booleans(),
            "load_timeout": st.integers(1, 9999).map(float),
        }
    ),
    given=st.fixed_dictionaries(
        {},
        optional={
            "placement": st.sampled_from(["local", "ray", "auto"]),
            "resources": st.dictionaries(st.sampled_from(["CPU", "GPU"]), st.integers(0, 9), min_size=1).map(
                read_resources
            ),
            "placement_strategy": st.sampled_from(["spread", "pack"]),
            "worker_start": st.sampled_from(["spawn", "template"]),
            "load_timeout": st.integers(1, 9999).map(float),
            "autoscale": st.booleans(),
        },
    ),
    handler=st.none() | st.from_regex(r"[a-z]+\.py:[a-z]+", fullmatch=True),
)
SNAPSHOTS = st.builds(
    Snapshot,
    name=NAMES,
    created=st.integers(0, 2**42).map(lambda milliseconds: milliseconds * 0.001),
    models=st.dictionaries(NAMES, st.dictionaries(NAMES, VERSIONS, min_size=1, max_size=3), max_size=3),
)


class ReadTests(SynchronousTestCase):
    """Snapshots of TorchServe are read."""

    def test_file_of_torchserve(self) -> None:
        properties = parse_properties(BY_TORCHSERVE)
        self.assertEqual(parse_snapshot(properties["model_snapshot"]), READ)

    def test_absent_values(self) -> None:
        text = json.dumps({"modelCount": 1, "models": {"m": {"1": {"marName": "m.mar"}}}})
        self.assertEqual(parse_snapshot(text).models, {"m": {"1": SnapshotVersion("m.mar")}})

    def test_workers_of_zero_are_kept(self) -> None:
        text = json.dumps({"models": {"m": {"1": {"marName": "m.mar", "minWorkers": 0, "maxWorkers": 0}}}})
        version = parse_snapshot(text).models["m"]["1"]
        self.assertEqual((version.min_workers, version.max_workers), (0, 0))

    def test_restored_values_go_before_everything(self) -> None:
        found = OpenedArchive("noop", "1.0", "noop.mar", Path("/"), Manifest(handler="h"))
        config = ModelConfig(
            settings={"min_workers": 7, "max_workers": 8, "batch_size": 9, "response_timeout": 9.0}
        )
        spec = resolve_version_spec(found, NOOP.overrides(), config, VersionPreset(), VersionDefaults())
        self.assertEqual(
            (spec.workers.minimum, spec.workers.maximum, spec.batching.size, spec.batching.max_delay),
            (1, 2, 4, 0.05),
        )
        self.assertEqual((spec.timeouts.response, spec.timeouts.startup), (33.0, 120.0))

    def test_place_that_a_registration_gave_comes_back(self) -> None:
        found = OpenedArchive("noop", "1.0", "noop.mar", Path("/"), Manifest(handler="h"))
        given = {
            "placement": "ray",
            "resources": (("CPU", 2.0), ("node1", 0.5)),
            "placement_strategy": "pack",
            "worker_start": "spawn",
            "load_timeout": 7.0,
            "batch_size": 3,
        }
        defaults = VersionDefaults(has_cluster=True, settings={"placement": "auto"})
        sources = (ModelConfig(), VersionPreset(), defaults)
        spec = resolve_version_spec(found, VersionOverrides(settings=given), *sources)
        taken = take_snapshot("name", 5.0, [VersionDescription(spec, True, ())])
        kept = parse_snapshot(render_snapshot(taken)).models["noop"]["1.0"]
        self.assertEqual({name: given[name] for name in given if name != "batch_size"}, kept.given)
        again = resolve_version_spec(found, kept.overrides(), *sources)
        self.assertEqual(
            (spec.placement, spec.start, spec.timeouts, 3),
            (again.placement, again.start, again.timeouts, again.batching.size),
        )
        self.assertEqual(Placement("ray", (("CPU", 2.0), ("node1", 0.5)), "pack"), again.placement)

    def test_handler_that_a_registration_named_comes_back(self) -> None:
        found = OpenedArchive("noop", "1.0", "noop.mar", Path("/"), Manifest(handler="", raw={}))
        sources = (ModelConfig(), VersionPreset(), VersionDefaults())
        spec = resolve_version_spec(found, VersionOverrides(handler="other:handle"), *sources)
        taken = take_snapshot("name", 5.0, [VersionDescription(spec, True, ())])
        kept = parse_snapshot(render_snapshot(taken)).models["noop"]["1.0"]
        self.assertEqual(resolve_version_spec(found, kept.overrides(), *sources).handler, "other:handle")

    def test_handler_of_the_archive_is_not_kept(self) -> None:
        found = OpenedArchive("noop", "1.0", "noop.mar", Path("/"), Manifest(handler="h"))
        spec = resolve_version_spec(
            found, VersionOverrides(), ModelConfig(), VersionPreset(), VersionDefaults()
        )
        taken = take_snapshot("name", 5.0, [VersionDescription(spec, True, ())])
        self.assertNotIn("handler", render_snapshot(taken))

    def test_what_is_not_given_is_left_to_the_settings(self) -> None:
        found = OpenedArchive("noop", "1.0", "noop.mar", Path("/"), Manifest(handler="h"))
        defaults = VersionDefaults(has_cluster=True, settings={"placement": "ray"})
        spec = resolve_version_spec(found, VersionOverrides(), ModelConfig(), VersionPreset(), defaults)
        taken = take_snapshot("name", 5.0, [VersionDescription(spec, True, ())])
        self.assertNotIn("parameters", render_snapshot(taken))

    def test_without_workflows_there_is_no_word_of_them(self) -> None:
        self.assertNotIn("workflows", render_snapshot(take_snapshot("s", 5.0, [])))

    def test_count_of_zero_is_empty(self) -> None:
        for count in (0, -1):
            text = json.dumps({"modelCount": count, "models": {"m": {"1": {"marName": "m.mar"}}}})
            self.assertTrue(parse_snapshot(text).is_empty)
        self.assertFalse(READ.is_empty)

    def test_archive_is_a_file_of_the_store(self) -> None:
        text = json.dumps({"models": {"m": {"1": {"marName": "../../m.mar"}}}})
        self.assertEqual(parse_snapshot(text).models["m"]["1"].archive, "m.mar")

    def test_refused(self) -> None:
        for text, reason in (
            ("{", "not JSON"),
            ("[" * 100000, "not JSON"),
            ("[]", "model_snapshot is not a JSON object"),
            ('{"models": []}', "models is not a JSON object"),
            ('{"models": {"m": 1}}', "m is not a JSON object"),
            ('{"models": {"m": {"1": 2}}}', "m 1 is not a JSON object"),
            ('{"models": {"m": {"1": {}}}}', "marName of m 1 is not a text"),
            (
                '{"models": {"m": {"1": {"marName": "a", "batchSize": "4"}}}}',
                "batchSize of m 1 is not a whole",
            ),
            (
                '{"models": {"m": {"1": {"marName": "a", "defaultVersion": 1}}}}',
                "defaultVersion of m 1 is not",
            ),
            (
                '{"models": {"m": {"1": {"marName": "a", "parameters": {"placement": "moon"}}}}}',
                "placement of m 1 is none of local",
            ),
            (
                '{"models": {"m": {"1": {"marName": "a", "parameters": {"resources": "CPU=x"}}}}}',
                "resources of m 1: a list",
            ),
            ('{"modelCount": "2"}', "modelCount of model_snapshot is not a whole number"),
        ):
            error = self.assertRaises(SnapshotInvalid, parse_snapshot, text)
            self.assertIn(reason, str(error))


class WriteTests(SynchronousTestCase):
    """Snapshots are written in TorchServe's shape."""

    def test_json(self) -> None:
        document = json.loads(render_snapshot(READ))
        self.assertEqual((document["modelCount"], document["created"]), (2, 1795317853161))
        self.assertEqual(
            document["models"]["noop"]["1.0"],
            {
                "defaultVersion": True,
                "marName": "noop.mar",
                "minWorkers": 1,
                "maxWorkers": 2,
                "batchSize": 4,
                "maxBatchDelay": 50,
                "responseTimeout": 33,
                "startupTimeout": 120,
                "runtimeType": "python",
            },
        )

    def test_file(self) -> None:
        properties = {"model_store": "/modèles", "load_models": "a=b.mar", "model_snapshot": "old"}
        text = render_file(properties, READ, timezone.utc)
        self.assertEqual(text.splitlines()[:2], ["#Saving snapshot", "#Sun Nov 22 03:24:13 UTC 2026"])
        read = parse_properties(text)
        self.assertEqual(parse_snapshot(read.pop("model_snapshot")), READ)
        self.assertEqual(read, {"model_store": "/modèles", "load_models": "a=b.mar"})

    @given(SNAPSHOTS)
    def test_what_is_written_is_read(self, snapshot: Snapshot) -> None:
        read = parse_snapshot(render_snapshot(snapshot))
        self.assertEqual(read, snapshot)

    def test_taken_from_what_is_registered(self) -> None:
        specs = (
            VersionSpec("m", "1", "https://h/x/m%20a.mar?a=b/c", Path("/"), "h", workers=WorkerRange(1, 2)),
            VersionSpec(
                "m",
                "2",
                "m2.mar",
                Path("/"),
                "h",
                batching=Batching(3, 0.5),
                timeouts=Timeouts(startup=7.0, response=8.0),
                devices=DeviceSettings(parallel_level=2),
            ),
        )
        versions = [VersionDescription(spec, spec.version == "2", ()) for spec in specs]
        self.assertEqual(
            take_snapshot("name", 5.0, versions),
            Snapshot(
                "name",
                5.0,
                {
                    "m": {
                        "1": SnapshotVersion("m a.mar", False, 1, 2, url="https://h/x/m%20a.mar?a=b/c"),
                        "2": SnapshotVersion("m2.mar", True, 0, 0, 3, 0.5, 8.0, 7.0, parallel_level=2),
                    }
                },
            ),
        )


class FolderTests(SynchronousTestCase):
    """Snapshots lie in one folder, whole."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "config"

    def test_names(self) -> None:
        for occasion, created, zone, name in (
            (STARTUP, 1795317853.161, timezone.utc, "20261122032413161-startup.cfg"),
            (CHANGED, 0.0, timezone.utc, "19700101000000000-snapshot.cfg"),
            (SHUTDOWN, 0.0019, timezone(timedelta(hours=2)), "19700101020000001-shutdown.cfg"),
        ):
            self.assertEqual(snapshot_name(occasion, created, zone), name)

    def test_written_for_the_owner_alone(self) -> None:
        name = snapshot_name(STARTUP, 0.0)
        self.assertTrue(write_snapshot(self.folder, name, "a=b\n"))
        self.assertEqual([path.name for path in self.folder.iterdir()], [name])
        self.assertEqual((self.folder / name).read_text(), "a=b\n")
        self.assertEqual((self.folder / name).stat().st_mode & 0o777, 0o600)

    def test_existing_file_stays(self) -> None:
        name = snapshot_name(STARTUP, 0.0)
        write_snapshot(self.folder, name, "a=b\n")
        self.assertFalse(write_snapshot(self.folder, name, "a=c\n"))
        self.assertEqual((self.folder / name).read_text(), "a=b\n")

    def test_failed_write_leaves_nothing(self) -> None:
        self.assertRaises(UnicodeEncodeError, write_snapshot, self.folder, "x.cfg", "é")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_newest_name_is_the_newest_snapshot(self) -> None:
        for written, created in ((3, 5.0), (2, 9.0), (1, 7.0)):
            name = snapshot_name(CHANGED, created)
            write_snapshot(self.folder, name, "")
            os.utime(self.folder / name, (written, written))
        self.assertEqual(newest_snapshot(self.folder), self.folder / snapshot_name(CHANGED, 9.0))

    def test_other_files_are_no_snapshots(self) -> None:
        self.folder.mkdir(parents=True)
        for name in ("notes.cfg", ".x.tmp", "2026-startup.cfg", "20260101000000000-startup.cfg.bak"):
            (self.folder / name).touch()
        (self.folder / "20260101000000000-startup.cfg").mkdir()
        self.assertIsNone(newest_snapshot(self.folder))

    def test_the_oldest_are_removed(self) -> None:
        names = [f"2026010100000000{number}-snapshot.cfg" for number in range(5)]
        self.folder.mkdir()
        for name in (*names, "mine.cfg"):
            (self.folder / name).touch()
        remove_oldest(self.folder, 2, self.folder / names[1])
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, [names[1], names[3], names[4], "mine.cfg"])
        self.assertEqual(newest_snapshot(self.folder), self.folder / names[4])

    def test_no_folder(self) -> None:
        self.assertIsNone(newest_snapshot(self.folder))
