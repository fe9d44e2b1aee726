"""Which models are loaded at the start: ``load_models`` and ``--models``."""

from __future__ import annotations

import re

from modelserver.language.attributes import frozen

_NAMED = re.compile(r"([^=/?]+)=(.+)")


@frozen
class StartupModel:
    """
    One model to load at the start.

    :param name: as configured, or None for the archive's own name.
    :param url: a file of the model store or a URL.
    """

    name: str | None
    url: str

    def __str__(self) -> str:
        return self.url if self.name is None else f"{self.name}={self.url}"


@frozen
class LoadList:
    """
    What is loaded at the start.

    :param everything: all archives of the model store; ``models`` is empty then.
    """

    models: tuple[StartupModel, ...] = ()
    everything: bool = False

    def __str__(self) -> str:
        return "ALL" if self.everything else ",".join(map(str, self.models))


def parse_load_models(text: str) -> LoadList:
    """Read ``ALL``, ``standalone`` (nothing), or ``[name=]location`` with commas between, as the peers do."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if [word.lower() for word in words] == ["all"]:
        return LoadList(everything=True)
    if [word.lower() for word in words] == ["standalone"]:
        return LoadList()
    return LoadList(tuple(parse_startup_model(word) for word in words))


def parse_startup_model(text: str) -> StartupModel:
    """Read ``[name=]location``; an equals sign inside a URL's query is no name."""
    named = _NAMED.fullmatch(text)
    return StartupModel(None, text) if named is None else StartupModel(named[1].strip(), named[2].strip())
