"""The options of twistd, for a command that runs this server and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import cast

from twisted.application.service import ServiceMaker
from twisted.python.usage import Options
from twisted.scripts import twistd


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
        yield (maker.tapname, None, maker.options, maker.description)
