"""The peers' commands: options, messages, exit statuses, with processes in memory."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import TestCase

from attrs import define, field

import modelserver
from modelserver.cli.launchers import multi_model_server, torchserve
from modelserver.cli.launchers.launcher import BackgroundLauncher, SystemProcesses
from modelserver.cli.launchers.serve import serve
from modelserver.system.pid_file import PidFile
from modelserver.tap import Options
from tests.harness.folder import FolderCase

BACKGROUND = 777_777
OTHER = 888_888
STALE = "Removing orphan pid file.\nTorchServe is not currently running.\n"


@define
class FakeProcesses:
    """A machine on which some processes are servers."""

    servers: set[int] = field(factory=set)
    ended: list[int] = field(factory=list)
    here: list[Sequence[str]] = field(factory=list)
    background: list[Sequence[str]] = field(factory=list)
    main_classes: list[str] = field(factory=list)
    listens: bool = True
    is_quick: bool = False
    first: bool = False
    meanwhile: Callable[[], object] = int
    """What is done while this process is the server."""

    def is_first(self) -> bool:
        return self.first

    def is_server(self, pid: int) -> bool:
        return pid in self.servers

    def end(self, pid: int, seconds: float) -> bool | None:
        if pid not in self.servers or self.is_quick:
            return None
        self.ended.append(pid)
        if self.listens:
            self.servers.remove(pid)
        return self.listens

    def serve_here(self, options: Sequence[str]) -> int:
        self.here.append(options)
        self.meanwhile()
        return 0

    def serve_in_background(
        self, main_class: str, options: Sequence[str], started: Callable[[int], None]
    ) -> int:
        self.main_classes.append(main_class)
        self.background.append(options)
        self.servers.add(BACKGROUND)
        started(BACKGROUND)
        return 0


class LauncherCase(FolderCase):
    """A command with processes in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.folder / "store"
        self.store.mkdir()
        self.pid_file = PidFile(self.folder / ".model_server.pid")
        self.processes = FakeProcesses()
        self.before = Path.cwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, self.before)

    def torchserve(self, *words: str) -> tuple[int, str]:
        return self.run_main(torchserve, words)

    def mms(self, *words: str) -> tuple[int, str]:
        return self.run_main(multi_model_server, words)

    def run_main(self, command: object, words: Sequence[str]) -> tuple[int, str]:
        said = io.StringIO()
        main: Callable[..., int] = command.main  # type: ignore[attr-defined]
        launcher = BackgroundLauncher(command.WORDS, self.processes, self.pid_file, self.say_to(said))  # type: ignore[attr-defined]
        with redirect_stdout(said):
            status = main(words, launcher)
        return status, said.getvalue()

    def say_to(self, file: io.StringIO) -> Callable[[str], None]:
        return lambda text: print(text, file=file)

    def options(self) -> Options:
        """What the server would be told."""
        (words,) = self.processes.background
        options = Options()
        # Its last step would install a reactor.
        options.postOptions = lambda: None  # type: ignore[method-assign]
        options.parseOptions(list(words))
        return options


class TorchServeTests(LauncherCase):
    """The command ``torchserve``."""

    def test_version(self) -> None:
        for words in (("--version",), ("-v",)):
            self.assertEqual(
                self.torchserve(*words), (0, f"TorchServe Version is {modelserver.__version__}\n")
            )

    def test_starts_in_the_background_unless_told_otherwise(self) -> None:
        for words in ((), ("--start",)):
            self.assertEqual(self.torchserve(*words, "--model-store", "store"), (0, ""))
            self.assertEqual(self.pid_file.read(), BACKGROUND)
            self.assertEqual(self.torchserve("--stop"), (0, "TorchServe has stopped.\n"))
        self.assertEqual(len(self.processes.background), 2)

    def test_foreground(self) -> None:
        seen: list[int | None] = []
        self.processes.meanwhile = lambda: seen.append(self.pid_file.read())
        self.assertEqual(self.torchserve("--foreground", "--model-store", "store"), (0, ""))
        self.assertEqual((len(self.processes.here), self.processes.background), (1, []))
        self.assertEqual((seen, self.pid_file.read()), ([os.getpid()], None))

    def test_start_in_the_foreground_that_is_interrupted_leaves_no_file(self) -> None:
        def interrupted() -> None:
            raise KeyboardInterrupt

        self.processes.meanwhile = interrupted
        with self.assertRaises(KeyboardInterrupt):
            self.torchserve("--foreground", "--model-store", "store")
        self.assertIsNone(self.pid_file.read())

    def test_first_process_of_a_container_stays_in_the_foreground(self) -> None:
        self.processes.first = True
        self.assertEqual(self.torchserve("--start", "--model-store", "store"), (0, ""))
        self.assertEqual((len(self.processes.here), self.processes.background), (1, []))

    def test_second_start(self) -> None:
        self.torchserve("--model-store", "store")
        self.assertEqual(
            self.torchserve("--model-store", "store"),
            (1, "TorchServe is already running, please use torchserve --stop to stop TorchServe.\n"),
        )

    def test_stop_without_a_server(self) -> None:
        self.assertEqual(self.torchserve("--stop"), (0, "TorchServe is not currently running.\n"))

    def test_stop_of_a_server_that_is_gone(self) -> None:
        self.pid_file.claim(BACKGROUND)
        self.assertEqual(self.torchserve("--stop"), (0, STALE))
        self.assertIsNone(self.pid_file.read())

    def test_stop_does_not_end_other_programs(self) -> None:
        self.pid_file.claim(OTHER)
        self.assertEqual(self.torchserve("--stop"), (0, STALE))
        self.assertEqual(self.processes.ended, [])

    def test_stop_of_a_server_that_ends_just_then(self) -> None:
        self.torchserve("--model-store", "store")
        self.processes.is_quick = True
        self.assertEqual(self.torchserve("--stop"), (0, "TorchServe already stopped.\n"))

    def test_stop_that_takes_too_long(self) -> None:
        self.torchserve("--model-store", "store")
        self.processes.listens = False
        self.assertEqual(
            self.torchserve("--stop", "--foreground"), (1, "Stopping TorchServe took too long.\n")
        )
        self.assertEqual(self.pid_file.read(), BACKGROUND)

    def test_start_after_a_crash(self) -> None:
        for text in (str(OTHER), "", "rubbish", str(os.getpid())):
            self.pid_file.path.write_text(text, "ascii")
            self.processes.servers.clear()
            self.assertEqual(
                self.torchserve("--model-store", "store"), (0, "Removing orphan pid file.\n"), text
            )

    def test_a_link_for_a_pid_file_is_told(self) -> None:
        self.pid_file.path.symlink_to("store")
        for words in (("--stop",), ("--model-store", "store")):
            status, said = self.torchserve(*words)
            self.assertEqual(status, 1)
            self.assertIn("is a link", said)

    def test_what_is_missing(self) -> None:
        for words, message in (
            ((), "Missing mandatory parameter --model-store"),
            (("--model-store", "nope"), "--model-store directory not found: nope"),
            (("--ts-config", "nope"), "--ts-config file not found: nope"),
            (("--workflow-store", "nope"), "--workflow-store directory not found: nope"),
            (("--log-config", "nope"), "--log-config file not found: nope"),
            (("--cpp-log-config", "nope"), "--cpp-log-config file not found: nope"),
        ):
            self.assertEqual(self.torchserve(*words), (1, f"{message}\n"))
        self.assertIsNone(self.pid_file.read())

    def test_model_store_in_the_file(self) -> None:
        (self.folder / "mine.properties").write_text("model_store=store\n", "ascii")
        self.assertEqual(self.torchserve("--ts-config", "mine.properties"), (0, ""))

    def test_a_model_store_in_the_file_that_is_missing(self) -> None:
        (self.folder / "mine.properties").write_text('model_store="store"\n', "ascii")
        status, said = self.torchserve("--ts-config", "mine.properties")
        self.assertEqual(status, 1)
        self.assertIn("--model-store directory not found: ", said)
        self.assertIsNone(self.pid_file.read())

    def test_a_configuration_that_cannot_be_used_is_told_at_once(self) -> None:
        (self.folder / "mine.properties").write_text("model_store=$$NO_SUCH_VARIABLE$$\n", "ascii")
        status, said = self.torchserve("--ts-config", "mine.properties")
        self.assertEqual(status, 1)
        self.assertIn("Invalid Environment Variable NO_SUCH_VARIABLE", said)

    def test_every_option_reaches_the_server(self) -> None:
        for name in ("ts.properties", "log4j2.xml", "cpp.yaml"):
            (self.folder / name).write_text("", "ascii")
        self.torchserve(
            *("--start", "--ts-config", "ts.properties", "--model-store", "store"),
            *("--workflow-store", "store", "--models", "a=a.mar", "b.mar"),
            *("--log-config", "log4j2.xml", "--cpp-log-config", "cpp.yaml", "--ncs", "--ppath", "plugins"),
            *("--dt", "--enable-model-api"),
        )
        options = self.options()
        line = options.command_line()
        self.assertEqual((options["launcher"], options["dialect"]), ("torchserve", "torchserve"))
        self.assertEqual(options["pid-file"], str(self.pid_file.path))
        self.assertEqual(
            (line.config_file, line.model_store, line.workflow_store), ("ts.properties", "store", "store")
        )
        self.assertEqual(line.models, ("a=a.mar", "b.mar"))
        self.assertEqual(
            (line.log_config, line.cpp_log_config, line.plugins_path), ("log4j2.xml", "cpp.yaml", "plugins")
        )
        self.assertTrue(line.no_config_snapshots and line.disable_token_auth and line.enable_model_api)

    def test_switches_are_off_by_default(self) -> None:
        self.torchserve("--model-store", "store", "--models", "all")
        line = self.options().command_line()
        self.assertFalse(line.no_config_snapshots or line.disable_token_auth or line.enable_model_api)
        self.assertEqual(line.models, ("all",))

    def test_actions_exclude_each_other(self) -> None:
        for words in (("--start", "--stop"), ("--version", "--stop"), ("--unknown",)):
            with redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as caught:
                torchserve.main(words)
            self.assertEqual(caught.exception.code, 2)


class MultiModelServerTests(LauncherCase):
    """The command ``multi-model-server``."""

    def test_starts_and_stops(self) -> None:
        self.assertEqual(self.mms("--start", "--models", "a=http://127.0.0.1/a.mar"), (0, ""))
        self.assertEqual(
            self.mms(),
            (1, "Model server is already running, please use multi-model-server --stop to stop MMS.\n"),
        )
        self.assertEqual(self.mms("--stop"), (0, "Model server stopped.\n"))
        self.assertEqual(self.mms("--stop"), (0, "Model server is not currently running.\n"))
        self.pid_file.claim(OTHER)
        self.assertEqual(self.mms("--stop"), (0, "Model server already stopped.\n"))

    def test_what_is_missing(self) -> None:
        for words, message in (
            (("--models", "a.mar"), "--model-store is required to load model locally."),
            (("--model-store", "nope"), "--model-store directory not found: nope"),
            (("--mms-config", "nope"), "--mms-config file not found: nope"),
        ):
            self.assertEqual(self.mms(*words), (1, f"{message}\n"))

    def test_options_reach_the_server(self) -> None:
        (self.folder / "mms.properties").write_text("", "ascii")
        self.mms("--mms-config", "mms.properties", "--model-store", "store", "--models", "a.mar", "b=b.mar")
        options = self.options()
        line = options.command_line()
        self.assertEqual((options["launcher"], options["dialect"]), ("mms", "mms"))
        self.assertEqual((line.config_file, line.model_store), ("mms.properties", "store"))
        self.assertEqual(line.models, ("a.mar", "b=b.mar"))


class ServeTests(TestCase):
    """``modelserver serve``, with words that start nothing."""

    def said(self, *words: str) -> tuple[object, str, str]:
        """The exit status, and what is written to standard output and error."""
        out, err = io.StringIO(), io.StringIO()
        before = sys.argv
        self.addCleanup(setattr, sys, "argv", before)
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status: object = serve(words)
            except SystemExit as end:
                status = end.code
        return status, out.getvalue(), err.getvalue()

    def test_words_that_cannot_be_used(self) -> None:
        for words, said in (
            (("--model", "a.mar"), "option --model not a unique prefix"),
            (("--stroe", "a"), "option --stroe not recognized"),
            (("store",), "What is 'store'? Models are given by --models."),
            (("--launcher", "tf"), "--launcher tf: it is torchserve or mms."),
        ):
            refusal = f"modelserver serve: {said}\n'modelserver serve --help' names the options.\n"
            self.assertEqual(self.said(*words), (1, "", refusal))

    def test_help_and_version_are_this_commands(self) -> None:
        status, out, _ = self.said("--help")
        self.assertEqual((status, out.partition("\n")[0]), (0, "Usage: modelserver serve [options]"))
        self.assertEqual(self.said("--version"), (0, f"modelserver {modelserver.__version__}\n", ""))


class SystemProcessesTests(TestCase):
    """Which processes are servers."""

    def test_this_one_is_none(self) -> None:
        self.assertFalse(SystemProcesses().is_server(os.getpid()))

    def test_one_that_does_not_exist_is_none_and_cannot_be_ended(self) -> None:
        self.assertFalse(SystemProcesses().is_server(4_194_303))
        self.assertIsNone(SystemProcesses().end(4_194_303, 0.0))
