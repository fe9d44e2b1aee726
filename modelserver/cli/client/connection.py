"""A running server as commands see it: its addresses, its keys, and requests to it."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from attrs import field

from modelserver.cli.client.http import ServerReply
from modelserver.config.address import Address, parse_address
from modelserver.language.attributes import frozen
from modelserver.security.key_file import KEY_FILE, KeyFileInvalid, Kind, read_keys

LONGEST = 1e6
"""Seconds that an answer may be waited for: more than the system takes is no time."""
INFERENCE, MANAGEMENT = "http://127.0.0.1:8080", "http://127.0.0.1:8081"


class Unreachable(Exception):
    """There is no server at the address, or it does not speak HTTP; the text says which and why."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(address: Address, seconds: float, tls: ssl.SSLContext) -> http.client.HTTPConnection:
    """Return a connection for one request; the request opens it."""
    if address.scheme == "unix":
        return UnixConnection(address.unix_path, seconds)
    if address.is_tls:
        return http.client.HTTPSConnection(address.host, address.port, timeout=seconds, context=tls)
    return http.client.HTTPConnection(address.host, address.port, timeout=seconds)


@frozen
class Remote:
    """
    Both APIs of one server.

    :param secrets: the keys to send, by the kind of route.
    :param seconds: how long to wait for a connection, and for each read of an answer.
    """

    inference: Address
    management: Address
    secrets: Mapping[Kind, str] = field(factory=dict, repr=False)
    seconds: float = 300.0
    tls: ssl.SSLContext = field(factory=ssl.create_default_context, repr=False)
    connect: Callable[[Address, float, ssl.SSLContext], http.client.HTTPConnection] = connect

    def infer(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> ServerReply:
        """
        Send a request to the inference API.

        :raises Unreachable: the server does not answer.
        """
        headers = {"Content-Type": content_type} if content_type else {}
        return self._ask("inference", self.inference, method, path, body=body, headers=headers)

    def manage(self, method: str, path: str) -> ServerReply:
        """
        Send a request to the management API.

        :raises Unreachable: the server does not answer.
        """
        return self._ask("management", self.management, method, path)

    def _ask(
        self,
        kind: Kind,
        address: Address,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ServerReply:
        key = {"Authorization": f"Bearer {self.secrets[kind]}"} if kind in self.secrets else {}
        connection = self.connect(address, self.seconds, self.tls)
        try:
            connection.request(method, path, body, {**(headers or {}), **key})
            answer = connection.getresponse()
            return ServerReply(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as why:
            raise Unreachable(f"{address} does not answer: {str(why) or type(why).__name__}") from why
        finally:
            connection.close()


def path_of(*segments: str | None) -> str:
    """Return a path of these segments, percent-encoded; segments that are None are left out."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments if segment is not None)


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server is meant."""
    group = parser.add_argument_group("the server")
    add = group.add_argument
    variable = os.environ.get
    add(
        "--inference",
        metavar="URL",
        default=variable("MODELSERVER_INFERENCE", INFERENCE),
        help=f"address of the inference API; default: $MODELSERVER_INFERENCE or {INFERENCE}",
    )
    add(
        "--management",
        metavar="URL",
        default=variable("MODELSERVER_MANAGEMENT", MANAGEMENT),
        help=f"address of the management API; default: $MODELSERVER_MANAGEMENT or {MANAGEMENT}",
    )
    add("--key-file", type=Path, metavar="FILE", help=f"file with keys; default: {KEY_FILE}, if it exists")
    add("--ca-file", type=Path, metavar="FILE", help="PEM file of the authority that https: is checked with")
    add("--insecure", action="store_true", help="do not check the certificate of https:")
    add("--timeout", type=float, default=300.0, metavar="SECONDS", help="to wait for an answer; default: 300")


def remote_of(arguments: argparse.Namespace) -> Remote:
    """
    Return the server that the options mean.

    :raises ValueError: an option cannot be used; the text is for the user.
    """
    if not 0 < arguments.timeout <= LONGEST:
        raise ValueError(f"--timeout {arguments.timeout:g}: it is above 0, and at most {LONGEST:g}")
    return Remote(
        _address("--inference", arguments.inference, 80, 443),
        _address("--management", arguments.management, 8081, 8444),
        _secrets(arguments.key_file),
        arguments.timeout,
        _tls(arguments.ca_file, arguments.insecure),
    )


def _address(option: str, text: str, http_port: int, https_port: int) -> Address:
    try:
        return parse_address(text, http_port, https_port)
    except ValueError as why:
        raise ValueError(
            f"{option} {text}: an address is http://HOST:PORT, https://HOST:PORT or unix:/PATH"
        ) from why


def _secrets(file: Path | None) -> dict[Kind, str]:
    given = file or (Path(os.environ["TS_TOKEN_FILE"]) if os.environ.get("TS_TOKEN_FILE") else None)
    path = given or Path(KEY_FILE)
    if given is None and not path.exists():
        return {}
    try:
        return {kind: key.secret for kind, key in read_keys(path).items()}
    except KeyFileInvalid as why:
        named = str(why) if str(path) in str(why) else f"{path}: {why}"
        raise ValueError(named) from why


def _tls(ca_file: Path | None, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as why:
        raise ValueError(f"{ca_file} cannot be used: {why}") from why
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
