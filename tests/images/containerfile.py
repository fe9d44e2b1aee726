"""Reads the Containerfiles of ``images/``: the instructions that they use, and no others."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_WITHOUT_EFFECT = frozenset({"EXPOSE", "STOPSIGNAL", "LABEL"})
"""They tell an engine something, and change nothing in the image's files."""


class Unreadable(Exception):
    """A file has something that is not understood here."""


@frozen
class Step:
    """One instruction that makes files: ``RUN`` with a command, ``COPY`` with sources and a target."""

    kind: str
    text: str
    words: tuple[str, ...] = ()
    of_stage: str | None = None
    user: str = "0:0"
    folder: str = "/"
    environment: Mapping[str, str] = field(factory=dict)


@frozen
class Stage:
    """What one ``FROM`` begins; the last one is the image."""

    base: str
    name: str
    steps: tuple[Step, ...] = ()
    environment: Mapping[str, str] = field(factory=dict)
    user: str = "0:0"
    folder: str = "/"
    command: tuple[str, ...] = ()
    entry_point: tuple[str, ...] = ()
    health_check: tuple[str, ...] = ()
    signal: str = "SIGTERM"


def read(text: str, given: Mapping[str, str]) -> list[Stage]:
    """
    Return the stages of a file.

    :param given: the build's arguments.
    :raises Unreadable: an instruction is not known, or an argument has no value.
    """
    stages: list[Stage] = []
    globals_: dict[str, str] = {}
    variables: dict[str, str] = {}
    for word, rest in _instructions(text):
        if word == "ARG":
            name, _, default = rest.partition("=")
            known = variables if stages else globals_
            value = given.get(name, globals_.get(name, default) if stages else default)
            known[name] = _expanded(value, known)
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(_expanded(base, globals_), name or str(len(stages))))
            variables = {}
        elif not stages:
            raise Unreadable(f"{word} stands before FROM")
        else:
            stages[-1] = _after(stages[-1], word, rest, variables)
    return stages


def _after(stage: Stage, word: str, rest: str, variables: Mapping[str, str]) -> Stage:
    """Return a stage with one instruction more."""
    if word == "RUN":
        step = _step(stage, word, rest, {**variables, **stage.environment})
        return evolve(stage, steps=(*stage.steps, step))
    if word == "COPY":
        words = shlex.split(rest)
        source = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        if words[0].startswith("--"):
            raise Unreadable(f"COPY {words[0]}")
        step = evolve(_step(stage, word, rest, {}), words=tuple(words), of_stage=source)
        return evolve(stage, steps=(*stage.steps, step))
    if word == "ENV":
        pairs = (pair.partition("=") for pair in shlex.split(rest))
        more = {name: _expanded(value, stage.environment) for name, _, value in pairs}
        return evolve(stage, environment={**stage.environment, **more})
    if word == "HEALTHCHECK":
        return evolve(stage, health_check=_words(rest[rest.index("CMD ") + 4 :]))
    if word == "CMD":
        return evolve(stage, command=_words(rest))
    if word == "ENTRYPOINT":
        return evolve(stage, entry_point=_words(rest))
    if word == "USER":
        return evolve(stage, user=rest)
    if word == "WORKDIR":
        return evolve(stage, folder=rest, steps=(*stage.steps, Step("MKDIR", rest, user=stage.user)))
    if word in _WITHOUT_EFFECT:
        return evolve(stage, signal=rest) if word == "STOPSIGNAL" else stage
    raise Unreadable(word)


def _step(stage: Stage, kind: str, text: str, environment: Mapping[str, str]) -> Step:
    return Step(kind, text, user=stage.user, folder=stage.folder, environment=environment)


def _words(rest: str) -> tuple[str, ...]:
    """Return the words of an instruction in exec form, the only one that gets signals."""
    try:
        words = json.loads(rest)
    except ValueError:
        raise Unreadable(f"not in exec form: {rest}") from None
    return tuple(words)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Give each instruction with its continued lines; comments between those are left out."""
    held: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        held.append(bare.removesuffix("\\").strip())
        if not bare.endswith("\\"):
            word, _, rest = " ".join(held).partition(" ")
            yield word, rest.strip()
            held = []
    if held:
        raise Unreadable(f"it ends within: {held[0]}")


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put in the values of variables."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not variables.get(name):
            raise Unreadable(f"{name} has no value")
        return variables[name]

    return _VARIABLE.sub(value, text)


def first_words(stage: Stage, arguments: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the command line of a container; ``arguments`` stand in the place of ``CMD``."""
    return (*stage.entry_point, *(arguments or stage.command))
