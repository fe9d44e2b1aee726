"""TorchServe's and Multi Model Server's keys that have no effect here, each with the reason."""

from __future__ import annotations

from modelserver.config.keys import ConfigurationKey, Status
from modelserver.config.value_types import TEXT

_BOTH, _TS, _MMS = ("TS", "MMS"), ("TS",), ("MMS",)
_FILE_ONLY = ""
_NO_NETTY = "Netty's and the JVM's settings do not apply, one event loop serves all connections"
_NO_IPEX = "the built-in handlers do not use the Intel extension"
_NO_LAUNCHER = "workers are started without torch.backends.xeon.run_cpu"
_NO_CPP = "there is no C++ backend"


def _without(
    status: Status,
    name: str,
    default: str | None,
    meaning: str,
    reason: str,
    peers: tuple[str, ...] = _TS,
    variable: str | None = None,
    quiet: bool = False,
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        kind=TEXT,
        default=default,
        meaning=meaning,
        peers=peers,
        status=status,
        variable=variable,
        reason=reason,
        quiet=quiet,
    )


ACCEPTED = (
    _without("accepted", "number_of_netty_threads", "0", "Threads of the front end.", _NO_NETTY, peers=_BOTH),
    _without("accepted", "netty_client_threads", "0", "Threads towards workers.", _NO_NETTY, peers=_BOTH),
    _without(
        "accepted", "prefer_direct_buffer", "false", "Memory outside the Java heap.", _NO_NETTY, peers=_BOTH
    ),
    _without(
        "accepted",
        "use_native_io",
        "true",
        "epoll instead of Java's own.",
        _NO_NETTY,
        peers=_BOTH,
        variable=_FILE_ONLY,
    ),
    _without(
        "accepted",
        "io_ratio",
        "50",
        "Share of I/O in an event loop.",
        _NO_NETTY,
        peers=_BOTH,
        variable=_FILE_ONLY,
    ),
    _without(
        "accepted",
        "async_logging",
        "false",
        "Log from another thread.",
        "the logs are written in one way only",
        peers=_BOTH,
    ),
    _without(
        "accepted",
        "vmargs",
        None,
        "Options of the JVM.",
        "there is no JVM; only -Dlog4j.configurationFile is looked at",
        peers=_BOTH,
        variable=_FILE_ONLY,
    ),
    _without(
        "accepted",
        "plugins_path",
        None,
        "Java plugins.",
        "Java plugins cannot be loaded",
        peers=_BOTH,
        variable=_FILE_ONLY,
    ),
    _without(
        "accepted",
        "model_server_home",
        None,
        "Where the peer is installed.",
        "the server knows where it is installed",
        peers=_BOTH,
        variable="",
    ),
    _without(
        "accepted",
        "debug",
        "false",
        "Connect to a worker started by hand.",
        "workers are always started by the server",
        peers=_BOTH,
    ),
    _without(
        "accepted",
        "version",
        None,
        "Written into snapshots.",
        "it is a note",
        peers=_TS,
        variable=_FILE_ONLY,
        quiet=True,
    ),
    _without(
        "accepted",
        "tsConfigFile",
        None,
        "Written into snapshots.",
        "it is a note",
        peers=_TS,
        variable=_FILE_ONLY,
        quiet=True,
    ),
    _without(
        "accepted",
        "mmsConfigFile",
        None,
        "The file itself.",
        "it is a note",
        peers=_MMS,
        variable=_FILE_ONLY,
        quiet=True,
    ),
    _without(
        "accepted",
        "python",
        None,
        "Written into snapshots: the peer's interpreter.",
        "workers run under this server's interpreter, or worker_python",
        peers=_TS,
        variable=_FILE_ONLY,
        quiet=True,
    ),
)

UNSUPPORTED = (
    _without("unsupported", "ipex_enable", "false", "Intel extension for PyTorch.", _NO_IPEX),
    _without("unsupported", "ipex_gpu_enable", "false", "Intel extension on GPUs.", _NO_IPEX),
    _without("unsupported", "cpu_launcher_enable", "false", "Pin workers to cores.", _NO_LAUNCHER),
    _without("unsupported", "cpu_launcher_args", None, "Options for pinning.", _NO_LAUNCHER),
    _without("unsupported", "cpp_log_config", None, "Log settings of the C++ backend.", _NO_CPP),
)

UNUSED_KEYS = (*ACCEPTED, *UNSUPPORTED)
"""Every key of the peers that does nothing here."""
