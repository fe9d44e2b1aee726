"""What OpenTelemetry's exporter sends with: the lightest of its clients that does what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelserver.tracing.settings import ENDPOINT, TRACES_ENDPOINT

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

CREDENTIALS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
"""Variables that name a plug-in, which makes a session of ``requests``."""
PASSWORDS = ".netrc", "_netrc"
"""Files in the user's home that ``requests`` looks into for each request."""


def transport_for(
    exporter: type[OTLPSpanExporter], endpoint: str | None, environ: Mapping[str, str], home: Path
) -> dict[str, Any]:
    """
    Return the arguments of an exporter that have it send by ``urllib3`` where that makes no difference.

    By default it sends by ``requests``, which asks the environment and the file system for proxies and
    passwords each time: 1.6 ms for a batch every few seconds, and 0.9 by ``urllib3``, of which ``requests``
    is made (4 and 2.9 for the first one).

    :param endpoint: the URL that spans are sent to; None: as the variables say.
    :param home: the user's home.
    :return: none where there may be proxies, passwords, certificates or a session of somebody else's, or
        where the exporter is too old to send by something else.
    """
    url = endpoint or environ.get(TRACES_ENDPOINT) or environ.get(ENDPOINT) or "http:"
    has_proxies = any(name.lower().endswith("_proxy") and environ[name] for name in environ)
    has_passwords = "NETRC" in environ or any((home / name).exists() for name in PASSWORDS)
    has_session = any(environ.get(name) for name in CREDENTIALS)
    if not url.startswith("http:") or has_proxies or has_passwords or has_session:
        return {}
    try:
        from opentelemetry.exporter.http.transport._urllib3 import Urllib3HTTPTransport
    except ImportError:
        return {}
    if "_transport" not in signature(exporter).parameters:
        return {}
    return {"_transport": Urllib3HTTPTransport()}
