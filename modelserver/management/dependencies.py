"""Installs the requirements of archives, once for all versions with the same requirements."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from attrs import evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from modelserver.errors import DependenciesFailed
from modelserver.interfaces import Command, CommandRunner, Finished, InThread
from modelserver.language.attributes import define, frozen
from modelserver.management.requirements import Requirements, RequirementsRefused, read_requirements
from modelserver.protocol.plain_text import without_escapes
from modelserver.spec import VersionSpec

SHOWN_LINES = 10
COMPLETE = ".complete"
"""The file that a finished environment has."""

_PIP = """
import sys
sys.path[:] = [path for path in sys.path if path]
import runpy
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""Runs pip in an archive's folder, for paths in requirements, without importing what lies there."""

_VENV = """
import pathlib, subprocess, sys, sysconfig, venv
folder = pathlib.Path(sys.argv[1])
venv.create(folder, clear=True, with_pip=True, symlinks=True)
python = folder / "bin" / "python"
code = "import sysconfig; print(sysconfig.get_path('purelib'))"
told = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
site = pathlib.Path(told.stdout.strip())
paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
(site / "server.pth").write_text("".join(path + "\\n" for path in paths))
"""
"""Makes a virtual environment that sees what is installed beside the interpreter that runs this."""

_log = Logger()


@frozen
class DependencyRules:
    """
    What the configuration allows for requirements.

    :param is_on: ``install_py_dep_per_model``.
    :param allow_options: lines of requirements may hold every option of pip, and lead out of the archive.
    :param timeout: seconds that an installation may take.
    :param folder: where environments are kept.
    :param python: the interpreter of workers.
    :param environment: of pip.
    """

    folder: Path
    python: str
    environment: Mapping[str, str] = field(factory=dict)
    is_on: bool = False
    allow_options: bool = False
    timeout: float = 600.0


@define(eq=False)
class Dependencies:
    """Owns the environments; equal requirements are installed once, also by concurrent registrations."""

    rules: DependencyRules
    commands: CommandRunner
    in_thread: InThread
    _under_way: dict[str, Deferred[None]] = field(factory=dict, init=False)

    async def satisfy(self, spec: VersionSpec) -> VersionSpec:
        """
        Return the version with the paths from which its workers import the archive's requirements.

        :raises DependenciesFailed: it cannot be installed, or may not be.
        """
        required, name = Requirements(), required_file(spec)
        if name:
            if self.rules.is_on:
                required = await self.in_thread(self._read, spec, name)
            else:
                _log.warn(
                    "Model {name} version {version}: {file} needs install_py_dep_per_model=true.",
                    name=spec.name,
                    version=spec.version,
                    file=name,
                )
        if not required and not spec.start.use_venv:
            return spec
        place = self.rules.folder / self._key(required, spec)
        await self._have(place, spec, required)
        if spec.start.use_venv:
            return evolve(spec, start=evolve(spec.start, python=str(place / "bin" / "python")))
        return evolve(spec, start=evolve(spec.start, search_path=(*spec.start.search_path, str(place))))

    def _read(self, spec: VersionSpec, name: str) -> Requirements:
        """Read a requirements file, and refuse what it may not say. Blocks."""
        try:
            return read_requirements(spec.folder, name, self.rules.environment, self.rules.allow_options)
        except RequirementsRefused as refused:
            raise _failed(spec, str(refused)) from refused

    def _key(self, required: Requirements, spec: VersionSpec) -> str:
        """Return the key of an environment: equal for the same kind, interpreter and requirements."""
        kind = "venv" if spec.start.use_venv else "target"
        folder = "" if required.is_portable else str(spec.folder)
        words = (kind.encode(), self.rules.python.encode(), folder.encode(), required.digest)
        digest = hashlib.sha256(b"\0".join(words)).hexdigest()
        return f"{kind}-{digest[:32]}"

    async def _have(self, place: Path, spec: VersionSpec, required: Requirements) -> None:
        """Install an environment unless it exists, or wait for the call that is installing it."""
        key = place.name
        while key in self._under_way:
            waiter: Deferred[None] = Deferred()
            self._under_way[key].chainDeferred(waiter)
            await waiter
        if await self.in_thread((place / COMPLETE).exists):
            return
        under_way = self._under_way[key] = Deferred()
        try:
            await self._make(place, spec, required)
        except BaseException:
            await self.in_thread(shutil.rmtree, place, ignore_errors=True)
            raise
        finally:
            del self._under_way[key]
            under_way.callback(None)

    async def _make(self, place: Path, spec: VersionSpec, required: Requirements) -> None:
        # What is killed, for its time is over or the server stops, leaves its temporary files behind.
        scratch = place.with_name(f"{place.name}.tmp")
        try:
            await self.in_thread(_clear, place, scratch)
            await self._install(place, scratch, spec, required)
            await self.in_thread((place / COMPLETE).touch)
        finally:
            await self.in_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _install(self, place: Path, scratch: Path, spec: VersionSpec, required: Requirements) -> None:
        python, environment = self.rules.python, {**self.rules.environment, "TMPDIR": str(scratch)}
        run = partial(self._run, spec, environment)
        if spec.start.use_venv:
            await run((python, "-c", _VENV, str(place)), "Virtual environment creation")
            python = str(place / "bin" / "python")
        if required:
            where = (
                ("--upgrade-strategy", "only-if-needed")
                if spec.start.use_venv
                else ("--target", str(place), "--no-warn-script-location")
            )
            pip = (python, "-c", _PIP, "--no-input", "--disable-pip-version-check", "install", "--upgrade")
            folder = os.path.abspath(spec.folder)
            file = os.path.join(folder, required_file(spec))
            await run((*pip, *where, "-r", file), "Custom pip package installation", folder)

    async def _run(
        self,
        spec: VersionSpec,
        environment: Mapping[str, str],
        arguments: tuple[str, ...],
        what: str,
        folder: str | None = None,
    ) -> None:
        def report(line: str) -> None:
            _log.info(
                "Model {name} version {version}: {line}", name=spec.name, version=spec.version, line=line
            )

        report(f"{what} begins")
        command = Command(arguments, environment, self.rules.timeout, folder)
        finished = await self.commands.run(command, report)
        if finished.code != 0 or finished.is_late:
            raise _failed(spec, _explain(finished, self.rules.timeout), what)
        report(f"{what} is done")


def required_file(spec: VersionSpec) -> str:
    """Return the name of the archive's requirements file, or an empty text."""
    model = (spec.manifest or {}).get("model")
    name = model.get("requirementsFile") if isinstance(model, Mapping) else None
    return name if isinstance(name, str) else ""


def _clear(*places: Path) -> None:
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=0o700)


def _explain(finished: Finished, timeout: float) -> str:
    if finished.is_late:
        return f"it took more than {timeout:g} seconds"
    return without_escapes("\n".join(list(finished.last)[-SHOWN_LINES:])) or f"exit code {finished.code}"


def _failed(spec: VersionSpec, why: str, what: str = "Custom pip package installation") -> DependenciesFailed:
    return DependenciesFailed(f"{what} failed for model {spec.name}", why)
