"""What the clients of a gRPC listener may do, and for how long."""

from __future__ import annotations

from modelserver.language.attributes import frozen


@frozen
class RpcLimits:
    """
    Sizes are in bytes, times in seconds.

    :param max_age: of a connection, until it takes no new calls; None: any.
    :param age_grace: how long calls may then still take; None: any time.
    :param idle: without a call in hand, until it takes no new ones; None: any.
    :param streams: calls that a connection may have at once.
    :param fields: of the metadata of a call; more is refused, call by call.
    :param pings_at_once: that a client may send while nothing is sent to it.
    :param seconds_per_ping: after which it may send one more.
    :param unread: of answers that a client may leave untaken before its calls are refused; 0: any.
    :param keepalive: without a word from a client, until it is asked for a sign of life; None: it never is.
    :param keepalive_timeout: that it may take to give it.
    """

    max_age: float | None = None
    age_grace: float | None = None
    idle: float | None = None
    streams: int = 100
    fields: int = 16 << 10
    pings_at_once: int = 20
    seconds_per_ping: float = 10.0
    unread: int = 64 << 20
    keepalive: float | None = 300.0
    keepalive_timeout: float = 20.0
