"""``doctor`` tells what works, differs, is ignored and fails, of configurations and archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.child.handlers import BUILT_IN
from modelserver.cli.doctor.archive import BUILT_IN_HANDLERS, examine_archive
from modelserver.cli.doctor.command import examine, is_archive
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding, Report
from modelserver.cli.main import main
from modelserver.config.settings import Settings
from modelserver.config.table import KEY
from modelserver.system.cpus import usable_processors

INSTALLED = frozenset({"os", "torch"})
SPEAKS = "def handle(data, context):\n    return data\n"


class DoctorTestCase(TestCase):
    """A folder with an installation in it."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cwd = Path(folder.name)
        (self.cwd / "store").mkdir()

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.cwd / name
        path.write_text(text, "utf-8")
        return path

    def archive(self, name: str, model: Mapping[str, object], top: Mapping[str, object] | None = None,
                **files: str) -> Path:  # fmt: skip
        """Pack an archive into the store; files are Python modules, or YAML for ``config``."""
        path = self.cwd / "store" / name
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("MAR-INF/MANIFEST.json", json.dumps({**(top or {}), "model": dict(model)}))
            for each, text in files.items():
                packed.writestr("model-config.yaml" if each == "config" else f"{each}.py", text)
        return path

    def found(self, report: Report) -> set[tuple[str, str]]:
        """Verdicts and things of a report."""
        return {(finding.verdict, finding.what) for finding in report.findings}


class ConfigurationTests(DoctorTestCase):
    """A configuration, key by key."""

    def report(
        self, text: str, environ: Mapping[str, str] | None = None, dialect: str | None = None
    ) -> Report:
        """Examine a configuration, without its archives."""
        return next(examine([self.write("config.properties", text)], environ or {}, self.cwd, dialect))

    def test_everything_works(self) -> None:
        report = self.report(
            "model_store=store\njob_queue_size=7\nallowed_urls=https://ours/.*\nversion=0.12.0"
        )
        self.assertFalse(report.fails)
        self.assertEqual(report.findings[0], Finding("works", "allowed_urls, job_queue_size, model_store"))

    def test_java_is_ignored(self) -> None:
        report = self.report("vmargs=-Xmx4g\nplugins_path=/plugins\nnumber_of_netty_threads=8\nnot_a_key=1")
        self.assertLessEqual(
            {("ignored", "vmargs"), ("ignored", "plugins_path"), ("ignored", "number_of_netty_threads"),
             ("ignored", "not_a_key")},
            self.found(report),
        )  # fmt: skip
        self.assertFalse(report.fails)

    def test_more_threads_than_processors(self) -> None:
        processors = usable_processors()
        self.assertNotIn(("differs", "threads"), self.found(self.report("")))
        many = self.report(f"default_workers_per_model={processors + 1}")
        self.assertIn(("differs", "threads"), self.found(many))
        two = f"{2 * processors}"
        report = self.report("default_workers_per_model=1", {"OMP_NUM_THREADS": two})
        (finding,) = [finding for finding in report.findings if finding.what == "threads"]
        self.assertIn(f"1 worker with {two} threads each (OMP_NUM_THREADS={two})", finding.text)
        self.assertFalse(report.fails)

    def test_missing_features_differ(self) -> None:
        report = self.report("ipex_enable=true")
        self.assertIn(
            Finding("differs", "ipex_enable", "The built-in handlers do not use the Intel extension."),
            report.findings,
        )
        self.assertFalse(report.fails)

    def test_every_bad_value_fails(self) -> None:
        report = self.report("job_queue_size=many\nmax_request_size=$$SIZE$$\ninference_address=x")
        self.assertTrue(report.fails)
        self.assertEqual(
            [finding for finding in report.findings if finding.verdict == "fails"],
            [
                Finding(
                    "fails",
                    "inference_address",
                    f"Invalid binding address: x; allowed: {KEY['inference_address'].kind.allowed}.",
                ),
                Finding(
                    "fails", "job_queue_size", "many is not allowed; allowed: a whole number, 1 or more."
                ),
                Finding("fails", "max_request_size", "Invalid Environment Variable SIZE."),
            ],
        )

    def test_variables(self) -> None:
        self.assertFalse(self.report("max_request_size=$$SIZE$$", {"SIZE": "5"}).fails)

    def test_absent_files_fail(self) -> None:
        report = self.report("model_store=absent\ncertificate_file=absent.pem\nkeystore=k.jks")
        self.assertLessEqual(
            {("fails", "model_store"), ("fails", "certificate_file"), ("fails", "keystore")},
            self.found(report),
        )
        self.assertNotIn("works", {finding.verdict for finding in report.findings[:1]})

    def test_tls_that_cannot_be_used_fails(self) -> None:
        for name in ("key.pem", "k.p12"):
            self.write(name, "rubbish")
        for text in (
            "private_key_file=key.pem",
            "private_key_file=key.pem\ncertificate_file=key.pem",
            "keystore=k.p12",
            "keystore=k.p12\nkeystore_type=BKS",
        ):
            self.assertIn(("fails", "TLS"), self.found(self.report(text)), text)

    def test_dialect(self) -> None:
        for text, dialect, expected in (
            ("preload_model=true", None, "mms"),
            ("default_response_timeout_seconds=5", None, "mms"),
            ("job_queue_size=5", None, "torchserve"),
            ("job_queue_size=5", "mms", "mms"),
            ("preload_model=true\nmetrics_mode=log", None, "torchserve"),
            ("dialect=mms", None, "mms"),
        ):
            self.assertTrue(self.report(text, dialect=dialect).title.endswith(f"({expected})"), text)

    def test_a_configuration_that_may_be_either_peers_says_so(self) -> None:
        for text, dialect, is_told in (
            ("job_queue_size=5", None, True),
            ("", None, True),
            ("job_queue_size=5", "mms", False),
            ("metrics_mode=log", None, False),
            ("dialect=mms", None, False),
        ):
            self.assertEqual(
                ("works", "peer") in self.found(self.report(text, dialect=dialect)), is_told, text
            )

    def test_minutes_of_mms(self) -> None:
        text = "default_response_timeout=2"
        self.assertIn(("differs", "default_response_timeout"), self.found(self.report(text, dialect="mms")))
        self.assertNotIn(("differs", "default_response_timeout"), self.found(self.report(text)))

    def test_unreadable_file(self) -> None:
        self.assertTrue(self.report("a=\\u12").fails)


class StoreTests(DoctorTestCase):
    """The archives that a configuration loads are examined, too."""

    def reports(self, text: str) -> list[Report]:
        """Examine a configuration and its archives."""
        file = self.write("config.properties", f"model_store=store\n{text}")
        return list(examine([file], {}, self.cwd))

    def test_named(self) -> None:
        self.archive("a.mar", {"modelName": "a", "handler": "h"}, h=SPEAKS)
        reports = self.reports("load_models=x=a.mar,b.mar,https://h/c.mar")
        self.assertLessEqual({("fails", "b.mar"), ("works", "https://h/c.mar")}, self.found(reports[0]))
        self.assertEqual([Path(report.title).name for report in reports[1:]], ["a.mar"])
        self.assertFalse(reports[1].fails)

    def test_an_archive_that_is_named_again_is_examined_once(self) -> None:
        archive = self.archive("a.mar", {"modelName": "a", "handler": "h"}, h=SPEAKS)
        file = self.write("config.properties", "model_store=store\nload_models=a.mar")
        paths = [archive, file, archive.parent / "../store/a.mar", archive]
        names = [Path(report.title.split(" (")[0]).name for report in examine(paths, {}, self.cwd)]
        self.assertEqual(names, ["a.mar", "config.properties", "a.mar"])

    def test_all(self) -> None:
        for name in ("a.mar", "b.mar", "notes.txt"):
            self.archive(name, {"modelName": "a", "handler": "h"}, h=SPEAKS)
        reports = self.reports("load_models=all")
        self.assertEqual([Path(report.title).name for report in reports[1:]], ["a.mar", "b.mar"])

    def test_snapshot(self) -> None:
        snapshot = {"modelCount": 1, "models": {"a": {"1": {"marName": "gone.mar"}}}}
        reports = self.reports(f"model_snapshot={json.dumps(snapshot)}")
        self.assertIn(Finding("fails", "gone.mar", "Model not found at: gone.mar"), reports[0].findings)

    def test_outside_of_the_store(self) -> None:
        outside = self.write("a.mar", "x")
        self.assertFalse(self.reports(f"load_models={outside}")[0].fails)
        self.assertTrue(self.reports(f"load_models={outside.with_name('b.mar')}")[0].fails)

    def test_without_a_store(self) -> None:
        file = self.write("plain.properties", "load_models=a.mar")
        report = next(examine([file], {}, self.cwd))
        self.assertIn(Finding("fails", "a.mar", "Model store has not been configured."), report.findings)

    def test_default_handler_of_the_configuration(self) -> None:
        self.archive("a.mar", {"modelName": "a"}, h=SPEAKS)
        self.assertIn(("differs", "handler"), self.found(self.reports("load_models=all")[1]))
        reports = self.reports("load_models=all\ndefault_service_handler=h:handle")
        self.assertIn(("works", "handler"), self.found(reports[1]))


class ArchiveTests(DoctorTestCase):
    """An archive, without running it."""

    def examine(self, path: Path, settings: Settings | None = None) -> Report:
        """Examine an archive; whatever it is unpacked to must be gone."""
        scratch = self.cwd / "scratch"
        scratch.mkdir()
        report = examine_archive(path, Examination(scratch, settings or Settings(), INSTALLED.__contains__))
        scratch.rmdir()
        return report

    def test_good(self) -> None:
        path = self.archive(
            "a.mar",
            {
                "modelName": "a",
                "modelVersion": "2.0",
                "handler": "h.py:go",
                "configFile": "model-config.yaml",
            },
            h="import os\nimport torch\n\ngo = print\n",
            config="batchSize: 4\nhandler: {profile: true}\n",
        )
        self.assertEqual(
            self.examine(path).findings,
            (
                Finding("works", "manifest", "a, version 2.0, python"),
                Finding("works", "handler", "h.py:go; everything that it imports is here."),
                Finding("works", "model-config.yaml", "batchSize, handler"),
            ),
        )

    def test_folder(self) -> None:
        folder = self.cwd / "model"
        (folder / "MAR-INF").mkdir(parents=True)
        manifest = {"model": {"modelName": "a", "handler": "h"}}
        (folder / "MAR-INF/MANIFEST.json").write_text(json.dumps(manifest))
        (folder / "h.py").write_text(SPEAKS)
        self.assertFalse(self.examine(folder).fails)
        self.assertTrue((folder / "h.py").is_file())

    def test_handlers(self) -> None:
        for handler, files, expected in (
            ("h", {"h": SPEAKS}, "works"),
            ("folder/h.py:handle", {"h": SPEAKS}, "works"),
            ("image_classifier", {}, "works"),
            ("os", {}, "works"),
            ("absent", {}, "fails"),
            ("h", {"h": "import mxnet"}, "fails"),
            ("h", {"h": "import part", "part": "import mxnet"}, "fails"),
            ("h", {"h": "print 'two'"}, "fails"),
            ("h:handel", {"h": SPEAKS}, "fails"),
            *(
                ("h:go", {"h": other}, "works")
                for other in ("class A: pass", "from os import *", "go, b = 1, 2")
            ),
            *(("h:go", {"h": other}, "works") for other in ("import os as go", "if len: go = print")),
            (None, {"h": SPEAKS}, "differs"),
        ):
            path = self.archive("a.mar", {"modelName": "a", "handler": handler}, None, **files)
            found = {what: verdict for verdict, what in self.found(self.examine(path))}
            self.assertEqual(found["handler"], expected, (handler, files))

    def test_model_file_is_read_too(self) -> None:
        model = {"modelName": "a", "handler": "image_classifier", "modelFile": "net.py"}
        report = self.examine(self.archive("a.mar", model, net="import mxnet"))
        self.assertIn(
            Finding("fails", "handler", "mxnet, imported by net.py in line 1, is not installed here."),
            report.findings,
        )

    def test_requirements(self) -> None:
        model = {"modelName": "a", "handler": "h", "requirementsFile": "requirements.txt"}
        path = self.archive("a.mar", model, h="import mxnet")
        self.assertTrue(self.examine(path).fails)
        self.assertFalse(self.examine(path, Settings(install_py_dep_per_model=True)).fails)

    def test_runtimes(self) -> None:
        for runtime, fails in (("python3", False), ("python2", True), ("LSP", True), ("ruby", True)):
            path = self.archive("a.mar", {"modelName": "a", "handler": "h"}, {"runtime": runtime}, h=SPEAKS)
            self.assertEqual(self.examine(path).fails, fails, runtime)

    def test_model_config(self) -> None:
        for config, verdict in (
            ("batchSize: many", "ignored"),
            ("[not, a, mapping]", "fails"),
            ("a: [", "fails"),
            ("parallelType: tp\nparallelLevel: 2", "works"),
            ("deviceIds: [7]", "works"),
            ("batchsize: 4\nlabels: 3", "differs"),
            ("max_batch_delay: 4", "differs"),
        ):
            model = {"modelName": "a", "handler": "h", "configFile": "model-config.yaml"}
            path = self.archive("a.mar", model, h=SPEAKS, config=config)
            self.assertIn((verdict, "model-config.yaml"), self.found(self.examine(path)), config)

    def test_no_archives(self) -> None:
        for name, content in (("a.mar", "text"), ("flow.war", "text")):
            report = self.examine(self.write(name, content))
            self.assertTrue(report.fails, name)

    def test_built_in_handlers_are_those_of_the_workers(self) -> None:
        self.assertEqual(sorted(BUILT_IN_HANDLERS), sorted(BUILT_IN))


class CommandTests(DoctorTestCase):
    """The command prints tables, and its exit status means something."""

    def doctor(self, *words: object) -> tuple[int, str]:
        """The exit status, and everything that was printed."""
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text):
            status = main(["doctor", *map(str, words)])
        return status, text.getvalue()

    def test_works(self) -> None:
        status, text = self.doctor(self.archive("a.mar", {"modelName": "a", "handler": "h"}, h=SPEAKS))
        self.assertEqual(status, 0)
        self.assertIn("Nothing of it fails.", text)

    def test_what_a_file_holds_does_not_steer_the_terminal(self) -> None:
        _, text = self.doctor(self.write("config.properties", "job_queue_size=\x1b[2J\n"))
        self.assertIn("\\x1b[2J", text)
        self.assertNotIn("\x1b[2J", text)

    def test_fails(self) -> None:
        status, text = self.doctor(self.write("config.properties", "job_queue_size=many\n"))
        self.assertEqual(status, 1)
        self.assertIn("job_queue_size", text)
        self.assertIn("Something will not work.", text)

    def test_absent_path(self) -> None:
        status, text = self.doctor(self.cwd / "absent")
        self.assertEqual(status, 2)
        self.assertIn("does not exist", text)

    def test_text_of_a_file_is_no_markup(self) -> None:
        _, text = self.doctor(self.write("config.properties", "[red]x[/red]=1\n"))
        self.assertIn("[red]x[/red]", text)

    def test_store_is_its_archives(self) -> None:
        self.archive("a.mar", {"modelName": "a", "handler": "h"}, h=SPEAKS)
        self.archive("b.mar", {"modelName": "b", "handler": "absent"})
        status, text = self.doctor(self.cwd / "store")
        self.assertEqual((status, text.count("store/a.mar"), text.count("store/b.mar")), (1, 1, 1))

    def test_what_is_an_archive(self) -> None:
        for name in ("a.mar", "a.model", "a.tar.gz", "flow.war"):
            self.assertTrue(is_archive(Path(name)), name)
        for name in ("config.properties", "x-startup.cfg", "conf"):
            self.assertFalse(is_archive(Path(name)), name)
        self.assertTrue(is_archive(self.cwd))
