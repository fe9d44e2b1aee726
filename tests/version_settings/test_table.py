"""The table of a version's settings drives reading, precedence, defaults and description."""

from __future__ import annotations

import json
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.manifest import Manifest
from modelserver.archive.model_config import read_model_config
from modelserver.config.settings import build_settings
from modelserver.config.table import KEY
from modelserver.config.version_keys import version_keys
from modelserver.errors import ServingError
from modelserver.management.call_parameters import Fields
from modelserver.management.models_json import read_models
from modelserver.management.parameters import REGISTER, register_request, setting_parameter
from modelserver.management.version_spec import OpenedArchive, resolve_version_spec
from modelserver.rest.dialects.settings import described_settings
from modelserver.spec import VersionSpec
from modelserver.testing.providers import make_spec
from modelserver.version_settings.setting import (
    Setting,
    SettingKey,
    SettingParameter,
    Unit,
    resolve_settings,
)
from modelserver.version_settings.table import VERSION_SETTINGS, default_of

RESOLVED = Path(__file__).with_name("resolved_settings.jsonl")
"""
What sources gave, and what the server decided before there was a table.

The first line has the usual values, each other one what is unusual about its own.
"""

PATIENCE = Setting(
    name="patience",
    path="patience",
    unit=Unit.MILLISECONDS,
    default=0.5,
    least=10,
    key=SettingKey("default_patience", "How patient a version is, in milliseconds."),
    model_config="patienceInMills",
    parameter=SettingParameter("patience", "Milliseconds of patience."),
    models_json="patience",
    described="patience",
)
"""A row that the server does not have."""
WITH_PATIENCE = (*VERSION_SETTINGS, PATIENCE)


@frozen
class PatientSpec(VersionSpec):
    """The use of the row: a place for its value."""

    patience: float = 0.0


def decide(given: Any) -> dict[str, object]:
    """Read what every source gave, decide, and tell the settings by their names."""
    known = Fields({"url": "m.mar", **given["register"]}).known_to(given["dialect"], REGISTER)
    defaults = build_settings(given["properties"], given["dialect"], Path("/"))
    try:
        spec = resolve_version_spec(
            OpenedArchive("m", "1.0", "m.mar", Path("/f"), Manifest(handler="own")),
            register_request(known).overrides,
            read_model_config(given["config"], given["gpus"])[0],
            read_models(json.dumps({"m": {"1.0": given["models"]}}))["m"]["1.0"],
            defaults.version_defaults(given["gpus"], 8, given["can_fork"]),
            given["start_up"],
        )
    except ServingError as error:
        return {"error": str(error)}
    values = {row.name: attrgetter(row.path)(spec) for row in VERSION_SETTINGS}
    for name in ("handler", "runtime", "engine", "envelope"):
        values[name] = getattr(spec, name)
    for name in ("device_ids", "resources"):
        values[name] = list(values[name])
    values["ranks"] = None if spec.torchrun is None else spec.torchrun.ranks
    return values


class ResolutionTests(SynchronousTestCase):
    """What is decided is what was decided when each setting had code of its own."""

    def test_rows(self) -> None:
        usual, *rows = map(json.loads, RESOLVED.read_text("utf-8").splitlines())
        self.assertGreater(len(rows), 50)
        for row in rows:
            expected = row["expected"]
            if "error" not in expected:
                expected = usual["usual"] | expected
            self.assertEqual(decide(row["given"]), expected, row["given"])
            problems = read_model_config(row["given"]["config"], row["given"]["gpus"])[1]
            self.assertEqual(sorted(problems), row["problems"], row["given"])


class TableTests(SynchronousTestCase):
    """The rows are of one piece with each other and with what they name."""

    def test_names_are_unique(self) -> None:
        for names in (
            [row.name for row in VERSION_SETTINGS],
            [row.path for row in VERSION_SETTINGS],
            [row.key.name for row in VERSION_SETTINGS if row.key is not None],
            [row.model_config for row in VERSION_SETTINGS if row.model_config],
            [row.parameter.name for row in VERSION_SETTINGS if row.parameter is not None],
            [row.models_json for row in VERSION_SETTINGS if row.models_json],
            [row.described for row in VERSION_SETTINGS if row.described],
        ):
            self.assertEqual([name for name, count in Counter(names).items() if count > 1], [])

    def test_defaults_are_the_specs_own(self) -> None:
        for row in VERSION_SETTINGS:
            if row.name != "worker_start":  # a spec says how workers start, and never ``auto``
                self.assertEqual(attrgetter(row.path)(make_spec()), row.default, row.name)
            self.assertEqual(default_of(row.name), row.default)

    def test_defaults_have_the_types_of_the_spec(self) -> None:
        for row in VERSION_SETTINGS:
            part, _, attribute = row.path.rpartition(".")
            holder = type(getattr(make_spec(), part)) if part else VersionSpec
            hint = get_type_hints(holder)[attribute]
            self.assertIs(type(row.default), getattr(hint, "__origin__", hint), row.name)

    def test_words_are_among_the_choices(self) -> None:
        for row in VERSION_SETTINGS:
            self.assertEqual(bool(row.choices), row.unit is Unit.WORD, row.name)


class NewRowTests(SynchronousTestCase):
    """A row is all that a new setting needs, but for its place in the spec and its use."""

    def test_key(self) -> None:
        key = version_keys(WITH_PATIENCE)["patience"]
        self.assertNotIn(key.name, KEY)
        self.assertEqual((key.name, key.default, key.status), ("default_patience", "500", "ours"))
        self.assertEqual(key.kind.read("20", Path("/")), 0.02)
        self.assertEqual(key.variable_name("torchserve"), "TS_DEFAULT_PATIENCE")

    def test_model_config(self) -> None:
        document = {"patienceInMills": 250, "batchSize": 2}
        config, problems = read_model_config(document, 0, WITH_PATIENCE)
        self.assertEqual((config.settings, problems), ({"patience": 0.25, "batch_size": 2}, ()))
        self.assertEqual(read_model_config(document, 0)[0].settings, {"batch_size": 2})

    def test_models_json(self) -> None:
        entry = read_models('{"m": {"1": {"patience": 30}}}', WITH_PATIENCE)["m"]["1"]
        self.assertEqual(entry.settings, {"patience": 0.03})

    def test_parameter(self) -> None:
        parameter = setting_parameter(PATIENCE)
        assert parameter is not None
        fields = Fields({"url": "m.mar", "patience": "40"})
        request = register_request(fields, [(PATIENCE, parameter)])
        self.assertEqual(request.overrides.settings, {"patience": 0.04})
        self.assertEqual((parameter.least, parameter.description), (10, "Milliseconds of patience."))

    def test_precedence(self) -> None:
        for sources, expected in (
            (({"patience": 4.0}, {"patience": 3.0}, {"patience": 2.0}), 4.0),
            (({}, {"patience": 3.0}, {"patience": 2.0}), 3.0),
            (({}, {}, {"patience": 2.0}), 2.0),
            (({}, {}, {}), 0.5),
        ):
            self.assertEqual(resolve_settings(sources, WITH_PATIENCE)["patience"], expected)

    def test_spec_and_description(self) -> None:
        plain = PatientSpec("m", "1.0", "m.mar", Path("/f"), "h")
        spec = plain.with_settings({"patience": 0.75, "batch_size": 3}, WITH_PATIENCE)
        shown = described_settings(spec, WITH_PATIENCE)
        self.assertEqual((shown["patience"], shown["batchSize"]), (750, 3))
