"""Requirements of archives: what is installed where, once, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import DependenciesFailed
from modelserver.interfaces import Command, Finished
from modelserver.management.dependencies import Dependencies, DependencyRules
from modelserver.spec import VersionSpec
from modelserver.testing.providers import make_spec


@define(eq=False)
class HeldCommands:
    """Commands that the test ends."""

    asked: list[Command] = field(factory=list)
    running: list[Deferred[Finished]] = field(factory=list)
    killed: list[Command] = field(factory=list)

    def run(
        self,
        command: Command,
        report: Callable[[str], None],
        complain: Callable[[str], None] | None = None,
    ) -> Deferred[Finished]:
        """Note a command."""
        report("Collecting everything")
        self.asked.append(command)
        running: Deferred[Finished] = Deferred(lambda _: self.killed.append(command))
        self.running.append(running)
        return running

    def end(self, code: int | None = 0, *last: str, is_late: bool = False) -> None:
        """End the oldest command."""
        self.running.pop(0).callback(Finished(code, last, is_late))


class DependenciesTests(SynchronousTestCase):
    """Environments are made once for what is the same."""

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.commands = HeldCommands()
        self.rules = DependencyRules(self.folder / "environments", "/usr/bin/python", {"A": "b"}, is_on=True)

    def spec(self, lines: str | None = "attrs==1.0\n", name: str = "m", **more: Any) -> VersionSpec:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        manifest: dict[str, object] = {"model": {}}
        if lines is not None:
            (folder / "wanted.txt").write_text(lines)
            manifest = {"model": {"requirementsFile": "wanted.txt"}}
        return make_spec(name, folder=folder, manifest=manifest, **more)

    def satisfy(self, spec: VersionSpec, **rules: object) -> Deferred[VersionSpec]:
        if rules or not hasattr(self, "dependencies"):
            changed = evolve(self.rules, **rules)  # type: ignore[arg-type]  # the names are the caller's
            self.dependencies = Dependencies(changed, self.commands, partial(maybeDeferred))
        return Deferred.fromCoroutine(self.dependencies.satisfy(spec))

    def test_requirements_are_installed_beside_the_servers_own_packages(self) -> None:
        spec = self.spec()
        satisfied = self.satisfy(spec)
        self.assertNoResult(satisfied)
        command = self.commands.asked[0]
        self.assertEqual(command.arguments[:2], ("/usr/bin/python", "-c"))
        self.assertEqual(command.folder, str(spec.folder))
        self.assertEqual(command.arguments[-2:], ("-r", str(spec.folder / "wanted.txt")))
        target = self.target(command)
        environment = {"A": "b", "TMPDIR": f"{target}.tmp"}
        self.assertEqual((command.environment, command.timeout), (environment, 600.0))
        Path(target, "installed").touch()
        Path(f"{target}.tmp", "left").touch()
        self.commands.end()
        self.assertEqual(self.successResultOf(satisfied).start.search_path, (target,))
        self.assertEqual([str(each) for each in self.rules.folder.iterdir()], [target])

    def test_same_lines_are_installed_once(self) -> None:
        first, second = self.satisfy(self.spec()), self.satisfy(self.spec(name="other"))
        self.assertEqual(len(self.commands.asked), 1)
        self.commands.end()
        third = self.satisfy(self.spec(name="third"))
        self.assertEqual(len(self.commands.asked), 1)
        paths = {self.successResultOf(each).start.search_path for each in (first, second, third)}
        self.assertEqual(len(paths), 1)

    def test_other_lines_are_installed_elsewhere(self) -> None:
        self.satisfy(self.spec())
        self.satisfy(self.spec("attrs==2.0\n", name="other"))
        self.assertEqual(len({self.target(command) for command in self.commands.asked}), 2)

    def target(self, command: Command) -> str:
        return command.arguments[command.arguments.index("--target") + 1]

    def test_failure_tells_the_last_lines_and_leaves_nothing(self) -> None:
        satisfied = self.satisfy(self.spec())
        self.commands.end(1, "ERROR: No matching distribution found for attrs==1.0")
        error = self.failureResultOf(satisfied, DependenciesFailed).value
        self.assertEqual(str(error), "Custom pip package installation failed for model m")
        self.assertIn("No matching distribution", error.cause)
        self.assertEqual(list(self.rules.folder.iterdir()), [])

    def test_next_one_tries_again_after_a_failure(self) -> None:
        first, second = self.satisfy(self.spec()), self.satisfy(self.spec(name="other"))
        self.commands.end(1)
        self.failureResultOf(first, DependenciesFailed)
        self.assertEqual(len(self.commands.asked), 2)
        self.commands.end()
        self.successResultOf(second)

    def test_time_is_limited(self) -> None:
        satisfied = self.satisfy(self.spec(), timeout=2.0)
        self.assertEqual(self.commands.asked[0].timeout, 2.0)
        self.commands.end(None, is_late=True)
        error = self.failureResultOf(satisfied, DependenciesFailed).value
        self.assertEqual(error.cause, "it took more than 2 seconds")

    def test_whoever_wants_it_no_more_ends_it_and_leaves_nothing(self) -> None:
        first, second = self.satisfy(self.spec()), self.satisfy(self.spec(name="other"))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.commands.killed, [])
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.commands.killed, self.commands.asked)
        self.assertEqual(list(self.rules.folder.iterdir()), [])

    def test_options_are_refused(self) -> None:
        for line in ("-e .", "attrs --config-settings=a=b", "--target /tmp"):
            with self.subTest(line):
                error = self.failureResultOf(self.satisfy(self.spec(f"# pip\n{line}\n")), DependenciesFailed)
                self.assertIn("allow_requirements_options", error.value.cause)
        self.assertEqual(self.commands.asked, [])

    def test_options_are_allowed_where_the_operator_says_so(self) -> None:
        self.satisfy(self.spec("-e .\n"), allow_options=True)
        self.assertEqual(len(self.commands.asked), 1)

    def test_nothing_is_installed_unless_it_is_switched_on(self) -> None:
        spec = self.spec()
        self.assertEqual(self.successResultOf(self.satisfy(spec, is_on=False)), spec)
        self.assertEqual(self.commands.asked, [])

    def test_archive_that_requires_nothing(self) -> None:
        for lines in (None, "", "\n\n"):
            spec = self.spec(lines)
            self.assertEqual(self.successResultOf(self.satisfy(spec)), spec)

    def test_file_that_is_not_there(self) -> None:
        spec = self.spec()
        (spec.folder / "wanted.txt").unlink()
        error = self.failureResultOf(self.satisfy(spec), DependenciesFailed).value
        self.assertIn("wanted.txt cannot be read", error.cause)

    def test_virtual_environment(self) -> None:
        satisfied = self.satisfy(self.spec(use_venv=True))
        self.assertEqual(self.commands.asked[0].arguments[:2], ("/usr/bin/python", "-c"))
        place = self.commands.asked[0].arguments[3]
        self.commands.end()
        pip = self.commands.asked[1].arguments
        self.assertEqual(pip[0], f"{place}/bin/python")
        self.assertIn("only-if-needed", pip)
        self.commands.end()
        self.assertEqual(self.successResultOf(satisfied).start.python, f"{place}/bin/python")

    def test_virtual_environment_without_requirements(self) -> None:
        satisfied = self.satisfy(self.spec(None, use_venv=True), is_on=False)
        self.commands.end()
        self.assertEqual(len(self.commands.asked), 1)
        self.assertIsNotNone(self.successResultOf(satisfied).start.python)

    def test_virtual_environment_that_fails(self) -> None:
        satisfied = self.satisfy(self.spec(None, use_venv=True))
        self.commands.end(1, "no ensurepip")
        error = self.failureResultOf(satisfied, DependenciesFailed).value
        self.assertEqual(str(error), "Virtual environment creation failed for model m")
