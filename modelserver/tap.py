"""The twistd plugin: the options, and the service made of them. Only this module imports the reactor."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import NoReturn, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.python import usage

import modelserver
from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.value_types import ConfigurationError
from modelserver.dialect_rules import DIALECTS, MMS
from modelserver.system.allocation import keep_freed_memory
from modelserver.system.garbage import CollectingHabits, collect_nothing, collect_rarely
from modelserver.system.left_out import without
from modelserver.system.pid_file import PidFile
from modelserver.system.steady_clock import use_steady_clock
from modelserver.system.timer_grain import round_timers_up

PRESETS = {"": {"enable_model_api": "true", "disable_token_authorization": "true"}}
"""
What a launcher presets. The launchers of TorchServe and MMS keep the defaults of these, where TorchServe's
model API is off and tokens are on; started by its own name, the server can be used at once, on loopback.
"""


class Options(usage.Options):
    """The options of ``twistd -n modelserver``: those of TorchServe and MMS."""

    program = "twistd [options] modelserver"
    """What the help says the command is."""
    longdesc = "Serve models: the successor of TorchServe and Multi Model Server."
    optParameters = [
        ["model-store", None, None, "Folder of model archives."],
        ["workflow-store", None, None, "Folder of workflow archives."],
        ["ts-config", None, None, "Configuration file (config.properties)."],
        ["mms-config", None, None, "Configuration file in Multi Model Server's dialect; or: sagemaker."],
        ["log-config", None, None, "Log configuration of the peers' kind; read for what is known of it."],
        ["cpp-log-config", None, None, "Accepted and not used: there is no C++ backend."],
        ["plugins-path", None, None, "Accepted and not used: Java plugins cannot run here."],
        ["dialect", None, None, "torchserve or mms."],
        ["launcher", None, "", "Whose defaults hold: torchserve, mms, or this server's own."],
        ["pid-file", None, None, "A file to remove at the end, if it holds this process's id."],
    ]
    optFlags = [
        ["no-config-snapshots", None, "Neither write nor restore snapshots."],
        ["ncs", None, "The same as --no-config-snapshots."],
        ["enable-model-api", None, "Models may be registered and unregistered over HTTP."],
        ["disable-token-auth", None, "Requests need no token."],
        ["console", None, "Log lines go to standard output, too, in the layout of the log files."],
        ["end-with-input", None, "End when standard input does: with the process that holds its other end."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self["models"] = []
        self.habits = CollectingHabits.now()

    def getSynopsis(self) -> str:
        """Return the first line of the help."""
        return f"Usage: {self.program} [options]"

    def opt_version(self) -> NoReturn:
        """Print this server's version, and exit."""
        print(f"modelserver {modelserver.__version__}")
        raise SystemExit(0)

    def opt_models(self, models: str) -> None:
        """Models to load at the start: [name=]location, with commas between, or all; may be repeated."""
        self["models"] += models.replace(",", " ").split()

    def parseArgs(self, *models: str) -> None:
        """
        Take words behind ``--models NAME`` as models, too, as TorchServe's and MMS's launchers do.

        :raises UsageError: there is no ``--models`` before them.
        """
        if models and not self["models"]:
            raise usage.UsageError(f"What is {models[0]!r}? Models are given by --models.")
        self["models"] += models

    def command_line(self) -> CommandLine:
        """Return the options as the configuration reads them."""
        return CommandLine(
            config_file=self["mms-config"] or self["ts-config"],
            model_store=self["model-store"],
            workflow_store=self["workflow-store"],
            models=tuple(self["models"]),
            log_config=self["log-config"],
            cpp_log_config=self["cpp-log-config"],
            plugins_path=self["plugins-path"],
            enable_model_api=bool(self["enable-model-api"]),
            disable_token_auth=bool(self["disable-token-auth"]),
            no_config_snapshots=bool(self["no-config-snapshots"] or self["ncs"]),
        )

    def postOptions(self) -> None:
        """
        Begin the start, and install asyncio's reactor where none is chosen: twistd needs one next.

        :raises UsageError: there is no such launcher.
        """
        if self["launcher"] not in ("", *DIALECTS):
            raise usage.UsageError(f"--launcher {self['launcher']}: it is {' or '.join(DIALECTS)}.")
        self.habits = CollectingHabits.now()
        collect_nothing()
        if self.parent is not None:
            _log_without_waiting(self.parent)
        try:
            install_reactor()
        except BaseException:
            self.habits.restore()
            raise


def _log_without_waiting(twistd: MutableMapping[str, object]) -> None:
    """
    Have twistd write its lines to standard output by our console, where it would write them itself.

    It waits for whoever reads them, and all clients with it; and of each line that cannot be written it logs
    a traceback, in our files.
    """
    is_asked = twistd.get("logger") or twistd.get("syslog") or twistd.get("logfile") not in (None, "", "-")
    if twistd.get("nodaemon") and not is_asked and sys.stdout is not None:
        twistd["logger"] = "modelserver.logs.console.console_observer"


def install_reactor() -> None:
    """
    Use asyncio's event loop, uvloop's where it is installed, unless ``--reactor`` has installed another.

    Whichever it is, it measures time by a clock that nobody sets.
    """
    if "twisted.internet.reactor" not in sys.modules:
        _install_asyncio()
    from twisted.internet import reactor

    use_steady_clock(cast(ReactorBase, reactor))


def _install_asyncio() -> None:
    import asyncio

    # Twisted's TCP loads OpenSSL with all of ``cryptography``: a tenth of a second, and 13 MB. Our listeners
    # on asyncio's loop use Python's own TLS, and downloads load Twisted's for the first one
    # (``sources/pinned_agent``). What does not work afterwards, and nothing here uses, is Twisted's own
    # ``startTLS``, ``listenSSL``, ``connectSSL`` and ``wrapClientTLS``.
    with without("OpenSSL"):
        from twisted.internet import asyncioreactor

    loop: asyncio.AbstractEventLoop
    try:
        import uvloop

        loop = uvloop.new_event_loop()
    except (ImportError, OSError):  # it is not there, or the system refuses a call that it needs (eventfd)
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)  # type: ignore[no-untyped-call]  # Twisted's
    if not isinstance(loop, asyncio.BaseEventLoop):
        from twisted.internet import reactor

        round_timers_up(cast(ReactorBase, reactor))


def makeService(options: Options) -> IService:
    """
    Build the server.

    Where it fails, or the server does not start, Python looks for garbage again as it did before the options
    were read.

    :raises SystemExit: the configuration, or a socket that was passed, cannot be used; stderr has the reason.
    """
    try:
        return _make_server(options)
    except BaseException:
        options.habits.restore()
        raise


def _make_server(options: Options) -> IService:
    dialect = options["dialect"] or (MMS.name if options["mms-config"] else None)
    try:
        settings, warnings = load_settings(
            options.command_line(), os.environ, _here(), dialect, PRESETS.get(options["launcher"])
        )
    except ConfigurationError as error:
        raise SystemExit(f"modelserver: {error}") from error
    from twisted.internet import reactor
    from twisted.internet.posixbase import PosixReactorBase

    assert isinstance(reactor, PosixReactorBase)

    collect_rarely()
    keep_freed_memory(os.environ)
    from modelserver.server.inherited import SocketUnwanted
    from modelserver.server.service import Server
    from modelserver.server.supervision import Supervision

    # Before the environment is copied: workers are not to find these variables.
    try:
        supervision = Supervision.from_environment(os.environ, reactor)
    except SocketUnwanted as error:
        raise SystemExit(f"modelserver: {error}") from error
    service: IService = Server(
        settings=settings,
        reactor=reactor,
        environment=dict(os.environ),
        warnings=warnings,
        to_console=bool(options["console"]),
        on_end=partial(_end, options["pid-file"], options.habits),
        supervision=supervision,
    )
    if options["end-with-input"]:
        from modelserver.server.lifeline import Lifeline

        Lifeline(reactor).setServiceParent(service)  # type: ignore[no-untyped-call]  # Twisted's
    return service


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise SystemExit("modelserver: the folder in which it was started is not there any more") from error


def _end(pid_file: str | None, habits: CollectingHabits) -> None:
    """Leave the process as it was: with its pid file, if that holds another process's id."""
    habits.restore()
    if pid_file:
        PidFile(Path(pid_file)).remove_if(os.getpid())
