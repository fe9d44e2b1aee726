"""
Performs a Containerfile without an engine: layers are folders, a stage is an overlay, ``RUN`` is a chroot.

The base has this machine's programs (``/usr``, which no step may change), a copy of ``/etc``, Python under
the name that Python's images have, and nothing else. Network, packages' index and versions are its own, too.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

from attrs import frozen

from tests.images.containerfile import Stage, Step, read

LINKS = ("bin", "sbin", "lib", "lib64")
"""Folders that are links to those below ``/usr``."""
FOLDERS = (
    "dev",
    "etc",
    "home",
    "opt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "var/lib",
    "var/log",
    "var/tmp",
)
WHEELS = Path("/opt/wheels")
"""Packages that this machine's pip looks for there, during the build alone."""
LONGEST_BUILD = 550.0
PYTHON = "/usr/bin/python3"
USER = 1000
"""An id that base images have not given away, though this machine may have."""


class BuildFailed(Exception):
    """A step of a file failed; its output."""


@frozen
class Image:
    """
    What a file has made.

    :param layers: folders, the uppermost one first.
    """

    stage: Stage
    layers: tuple[Path, ...]


@frozen
class Builder:
    """
    Builds images in a folder of its own, which keeps the stages that were built. Needs to be root.

    :param context: what ``COPY`` copies from.
    """

    folder: Path
    context: Path

    def build(self, file: Path, arguments: Mapping[str, str]) -> Image:
        """
        Perform a file.

        :raises BuildFailed: a step of it failed.
        """
        base = self._base()
        layers: dict[str, tuple[Path, ...]] = {}
        keys: list[str] = []
        stages = read(file.read_text("utf-8"), arguments)
        for stage in stages:
            # A stage is kept as long as its words, what it copies, and the stages before it are the same.
            made_of = (stage, sorted(layers.items()), self._copied(stage))
            key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
            keys.append(key)
            layer = self.folder / key
            if not (self.folder / f"{key}.done").exists():
                self._perform(stage, layer, (base,), layers)
                (self.folder / f"{key}.done").touch()
            layers[stage.name] = (layer, base)
        (self.folder / f"{file.name}.stages").write_text("\n".join(keys), "utf-8")
        self._forget()
        return Image(stages[-1], layers[stages[-1].name])

    def _forget(self) -> None:
        """Remove the stages that no file has any more: each is a gigabyte."""
        lists = [each.read_text("utf-8").split() for each in self.folder.glob("*.stages")]
        used = {key for keys in lists for key in keys}
        for done in self.folder.glob("*.done"):
            if done.stem not in used:
                rmtree(self.folder / done.stem, ignore_errors=True)
                done.unlink()

    def _copied(self, stage: Stage) -> list[tuple[str, int, int]]:
        """Return what tells the files apart that a stage copies from the context: names, sizes, times."""
        names = [name for step in stage.steps if step.of_stage is None for name in step.words[:-1]]
        places = [self.context / name for name in names]
        files = [file for place in places for file in (place.rglob("*") if place.is_dir() else (place,))]
        known = {file: file.stat() for file in files if file.suffix != ".pyc" and file.is_file()}
        return sorted((str(file), look.st_size, look.st_mtime_ns) for file, look in known.items())

    def _base(self) -> Path:
        base = self.folder / "base"
        if not base.exists():
            for name in FOLDERS:
                (base / name).mkdir(parents=True)
            for name in LINKS:
                (base / name).symlink_to(f"usr/{name}")
            subprocess.run(["cp", "-R", "/etc/.", str(base / "etc")], check=True, timeout=LONGEST_BUILD)
            for name in ("passwd", "group", "shadow", "gshadow"):
                file = base / "etc" / name
                file.write_text("".join(line for line in file.open() if f":{USER}:" not in line))
        return base

    def _perform(
        self, stage: Stage, layer: Path, below: tuple[Path, ...], others: Mapping[str, tuple[Path, ...]]
    ) -> None:
        rmtree(layer, ignore_errors=True)  # of a build that failed
        layer.mkdir()
        root, work = self.folder / "root", self.folder / "work"
        script = ["set -e", f"mkdir -p {root} {work}", overlay(root, below, layer, work), programs(root)]
        script += [f"mount -t proc proc {root}/proc", f"mount --bind /dev {root}/dev"]
        script.append(f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp")
        if WHEELS.is_dir() and stage.steps and stage.name == "build":
            script += [f"mkdir -p {root}{WHEELS}", f"mount --bind {WHEELS} {root}{WHEELS}"]
        for number, (name, layers) in enumerate(others.items()):
            place = self.folder / f"from{number}"
            script += [f"mkdir -p {place}", overlay(place, layers)]
            script.append(f"from_{name}={place}")
        script += [self._line(step, root) for step in stage.steps]
        words = ["unshare", "--mount", "sh", "-c", "\n".join(script)]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=LONGEST_BUILD)
        if done.returncode:
            raise BuildFailed(f"{stage.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _line(self, step: Step, root: Path) -> str:
        """Return the shell's line for a step."""
        if step.kind == "MKDIR":
            return f"mkdir -p {root}{step.text}"
        if step.kind == "COPY":
            source = str(self.context) if step.of_stage is None else f"$from_{step.of_stage}"
            *names, target = step.words
            place = Path(step.folder, target)
            words = " ".join(f"{source}/{name.lstrip('/')}" for name in names)
            # With the times of the files, as engines do: Python compiles again what is newer than it knows.
            copy = "cp -R --preserve=mode,timestamps"
            if target.endswith("/"):
                return f"mkdir -p {root}{place} && {copy} {words} {root}{place}/"
            return f"mkdir -p {root}{place.parent} && {copy} -T {words} {root}{place}"
        variables = " ".join(shlex.quote(f"{name}={value}") for name, value in step.environment.items())
        command = shlex.quote(f"cd {step.folder} && {step.text}")
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        if WHEELS.is_dir():
            path += f" PIP_FIND_LINKS={WHEELS}"
        return f"chroot --userspec={step.user} {root} env -i {path} {variables} sh -c {command}"


def overlay(place: Path, below: tuple[Path, ...], upper: Path | None = None, work: Path | None = None) -> str:
    """Return the command that mounts layers; without an upper one nothing can be written."""
    options = f"lowerdir={':'.join(map(str, below))}"
    if upper is not None:
        options += f",upperdir={upper},workdir={work}"
    return f"mount -t overlay overlay -o {options} {place}"


def programs(root: Path) -> str:
    """Return the commands that mount this machine's programs, with ``python`` among them."""
    # On a file system of its own: layers must not lie within each other.
    names = f"mount -t tmpfs tmpfs {root}/run && mkdir -p {root}/run/usr/local/bin"
    link = f"ln -s {PYTHON} {root}/run/usr/local/bin/python"
    return f"{names} && {link} && mount -t overlay overlay -o lowerdir={root}/run/usr:/usr {root}/usr"
