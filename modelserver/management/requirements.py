"""Reads the requirements of an archive as pip will: its options, and the files that its lines lead to."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import field

from modelserver.language.attributes import define, frozen

LARGEST_FILE = 1 << 20
"""Bytes that a requirements file may have."""
MOST_FILES = 100
"""Requirements and constraints files that one may lead to."""

_CHUNK = 1 << 20
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_CODING = re.compile(r"^#.*?coding[:=]\s*([-\w.]+)", re.ASCII)
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_EXTRAS = re.compile(r"\[[^\]]*\]$")
_WEB = re.compile(r"https?://", re.IGNORECASE)

_LONG = {
    "-i": "--index-url",
    "-f": "--find-links",
    "-r": "--requirement",
    "-c": "--constraint",
}
_FLAGS = frozenset({"--pre", "--no-index", "--prefer-binary", "--require-hashes"})
_WORDS = frozenset({"--trusted-host", "--no-binary", "--only-binary", "--hash"})
_INDEXES = frozenset({"--index-url", "--extra-index-url"})
_FILES = frozenset({"--requirement", "--constraint"})
_LINKS = "--find-links"
_TAKE_VALUE = _WORDS | _INDEXES | _FILES | {_LINKS}


@frozen
class RequirementsRefused(Exception):
    """A requirements file may not be given to pip, or cannot be read."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class Requirements:
    """
    What an archive requires.

    :param digest: equal for equal lines that lead to equal files.
    :param is_portable: they mean the same for every archive with them; else for this one only.
    """

    digest: bytes = b""
    is_portable: bool = True

    def __bool__(self) -> bool:
        return bool(self.digest)


def read_requirements(
    folder: Path, name: str, environment: Mapping[str, str], allows_everything: bool = False
) -> Requirements:
    """
    Read a requirements file of an archive with all that it leads to. Blocks.

    Options for indexes are pip's business, those for files must name files of the archive, and what writes
    elsewhere is refused. A requirement itself may be a URL or a path anywhere: pip was switched on.

    :param environment: pip's, for ``${NAME}``.
    :param allows_everything: every option is given to pip.
    :raises RequirementsRefused: a line may not be given to pip, or a file cannot be read.
    """
    reading = _Reading(Path(os.path.abspath(folder)), environment, allows_everything)
    reading.file(name, Path(os.path.abspath(folder / name)))
    digest = reading.digest.digest() if reading.has_lines else b""
    return Requirements(digest, reading.is_portable)


@define
class _Reading:
    """
    One reading: what was found so far.

    :param folder: the archive's, where pip runs.
    """

    folder: Path
    environment: Mapping[str, str]
    allows_everything: bool
    digest: hashlib._Hash = field(factory=hashlib.sha256, init=False)
    has_lines: bool = field(default=False, init=False)
    is_portable: bool = field(default=True, init=False)
    _read: set[Path] = field(factory=set, init=False)

    def file(self, name: str, path: Path) -> None:
        """Read one file of requirements or constraints, once."""
        if path in self._read:
            return
        self._read.add(path)
        if len(self._read) > MOST_FILES:
            raise RequirementsRefused(f"{name} leads to more than {MOST_FILES} files")
        for line in _logical_lines(_text(name, path)):
            expanded = _VARIABLE.sub(lambda found: self.environment.get(found[1]) or found[0], line).strip()
            if expanded:
                self.has_lines = True
                self._note(b"line", expanded.encode("utf-8", "surrogatepass"))
                self._line(name, path.parent, expanded)

    def _line(self, name: str, folder: Path, line: str) -> None:
        words = line.split()
        start = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
        if start:
            self._requirement(" ".join(words[:start]))
        try:
            rest = shlex.split(" ".join(words[start:]))
        except ValueError as why:
            raise RequirementsRefused(f"{name} has a line that cannot be read: {why}") from why
        for option, value in _options(rest):
            self._option(name, folder, option, value)

    def _option(self, name: str, folder: Path, option: str, value: str | None) -> None:
        is_known = option in _FLAGS or (option in _TAKE_VALUE and value is not None)
        if not is_known:
            if not self.allows_everything:
                raise RequirementsRefused(
                    f"{name} has the option {option}; allow_requirements_options is off"
                )
            self.is_portable = False
        elif value is not None and option in _INDEXES and _WEB.match(value) is None:
            self._outside(name, option, "must be an http or https URL")
        elif value is not None and (option in _FILES or (option == _LINKS and _WEB.match(value) is None)):
            self._named_file(name, folder, option, value)

    def _named_file(self, name: str, folder: Path, option: str, value: str) -> None:
        """Read, or hash, what an option names: relative to its file; links relative to the archive, too."""
        places = [folder / value, *([self.folder / value] if option == _LINKS else [])]
        found = [Path(os.path.abspath(place)) for place in places if place.exists()]
        if not found or not found[0].is_relative_to(self.folder) or "://" in value:
            self._outside(name, option, f"must name a file of the archive, not {value}")
        elif option == _LINKS:
            self._content(found[0])
        else:
            self.file(value, found[0])

    def _outside(self, name: str, option: str, why: str) -> None:
        if not self.allows_everything:
            raise RequirementsRefused(f"{option} in {name} {why}; allow_requirements_options is off")
        self.is_portable = False

    def _requirement(self, text: str) -> None:
        """Note the content of a file or folder that a requirement names."""
        place = text.partition(";")[0].strip()
        if "@" in place and not Path(self.folder, place).exists():
            place = place.partition("@")[2].strip()
        place = _EXTRAS.sub("", place.removeprefix("file://").removeprefix("file:")).strip()
        if not place or "://" in place:
            return
        path = Path(os.path.abspath(self.folder / place))
        if not path.exists():
            return
        if path.is_relative_to(self.folder):
            self._content(path)
        else:
            self.is_portable = False

    def _content(self, path: Path) -> None:
        """Note the content of a file, or of all files below a folder."""
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for each in files:
            self._note(b"file", os.fsencode(each.relative_to(self.folder)), _file_digest(each))

    def _note(self, *parts: bytes) -> None:
        for part in parts:
            self.digest.update(b"%d:" % len(part))
            self.digest.update(part)


def _text(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise RequirementsRefused(f"{name} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise RequirementsRefused(f"{name} has more than {LARGEST_FILE} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequirementsRefused(f"{name} is not UTF-8") from error
    for line in text.split("\n")[:2]:
        coding = _CODING.match(line)
        # pip would read the file in this coding: its options could be others than those that are seen here.
        if coding is not None and coding[1].lower() not in ("utf-8", "utf8", "ascii", "us-ascii"):
            raise RequirementsRefused(f"{name} says that it is {coding[1]}; it must be UTF-8")
    return text


def _logical_lines(text: str) -> Iterator[str]:
    """Yield lines as pip puts them together: a backslash continues one, a comment ends it."""
    held = ""
    for line in text.splitlines():
        is_comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not is_comment:
            held += line.strip("\\")
            continue
        yield _COMMENT.sub("", f"{held} {line}" if is_comment else held + line)
        held = ""
    if held:
        yield _COMMENT.sub("", held)


def _options(words: list[str]) -> Iterator[tuple[str, str | None]]:
    """Yield options by their long names, with their values; pip's abbreviations are unknown names here."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            option, has_value, value = word.partition("=")
        else:
            option, value = _LONG.get(word[:2], word[:2]), word[2:]
            has_value = value
        if option in _TAKE_VALUE and not has_value:
            yield option, next(rest, None)
        else:
            yield option, value if option in _TAKE_VALUE else None


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise RequirementsRefused(f"{path.name} cannot be read: {error.strerror}") from error
    return digest.digest()
