"""The options of twistd, for a command that runs this server and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, cast

from twisted.application.service import ServiceMaker
from twisted.python.usage import Options
from twisted.scripts import twistd

PROGRAM = "modelserver serve"


class ServerOptions(twistd.ServerOptions):  # type: ignore[misc, name-defined]  # Twisted's, not in __all__
    """
    twistd's options, with this server's plugin as the only one.

    twistd looks for plugins in all folders of ``sys.path``, and imports what they say they provide.
    """

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Callable[[], Options], str]]:
        """Yield the plugin as twistd would, which reads it from ``loadedPlugins`` afterwards."""
        maker = cast(ServiceMaker, import_module("twisted.plugins.modelserver_plugin").modelserver)
        self.loadedPlugins = {maker.tapname: maker}

        def options() -> Options:
            made: Any = maker.options()  # of the plugin's class, which is imported with it
            made.program = PROGRAM
            return cast(Options, made)

        yield (maker.tapname, None, options, maker.description)
