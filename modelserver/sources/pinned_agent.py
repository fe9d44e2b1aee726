"""An HTTP agent that resolves each name once and connects only to the addresses that it has checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import field
from twisted.internet.address import IPv4Address as IPv4Endpoint
from twisted.internet.address import IPv6Address as IPv6Endpoint
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from modelserver.language.attributes import define, frozen
from modelserver.sources.response_guard import guarding

CONNECT_TIMEOUT = 15.0
"""Seconds for each address of a host."""

IpAddress = IPv4Address | IPv6Address


@frozen
class AddressRefused(Exception):
    """A host has an address that a download may not connect to."""

    host: str
    address: IpAddress

    def __str__(self) -> str:
        return f"{self.host} is {self.address}"


def pinned_agent(
    reactor: IReactorTCP,
    resolver: IHostnameResolver,
    allows: Callable[[IpAddress], bool],
    tls: IPolicyForHTTPS,
) -> IAgent:
    """
    An agent without persistent connections that connects to no address which was not checked.

    :param allows: whether an address may be connected to.
    :param tls: makes the TLS side for a host name.
    """
    endpoints = _PinnedEndpoints(reactor, resolver, allows, tls)
    agent: IAgent = Agent.usingEndpointFactory(reactor, endpoints)  # type: ignore[no-untyped-call]  # Twisted's
    return agent


@implementer(IAgentEndpointFactory)
@frozen
class _PinnedEndpoints:
    """Makes the endpoint for a URL: pinned, with TLS for the host's name if it is ``https``."""

    reactor: IReactorTCP
    resolver: IHostnameResolver
    allows: Callable[[IpAddress], bool]
    tls: IPolicyForHTTPS

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        endpoint: IStreamClientEndpoint = _PinnedEndpoint(
            self.reactor, self.resolver, self.allows, host, uri.port
        )
        if uri.scheme == b"https":
            endpoint = _SecureEndpoint(endpoint, self.tls.creatorForNetloc(uri.host, uri.port))
        return _GuardedEndpoint(endpoint)


@implementer(IStreamClientEndpoint)
@frozen
class _GuardedEndpoint:
    """Puts a ``ResponseGuard`` between the connection and the client."""

    endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        guard = await self.endpoint.connect(guarding(factory))
        client: IProtocol = guard.wrappedProtocol  # type: ignore[attr-defined]  # made by our factory
        return client


@implementer(IStreamClientEndpoint)
@frozen
class _SecureEndpoint:
    """
    Speaks TLS with what an endpoint connects to.

    Twisted's ``wrapClientTLS`` cannot be used: this server loads its module without TLS (``tap``).
    """

    endpoint: IStreamClientEndpoint
    creator: IOpenSSLClientConnectionCreator

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        # Twisted types a factory by its class; the interface is what it asks of it.
        secure = await self.endpoint.connect(TLSMemoryBIOFactory(self.creator, True, factory))
        client: IProtocol = secure.wrappedProtocol  # type: ignore[attr-defined]  # made by that factory
        return client


@implementer(IStreamClientEndpoint)
@frozen
class _PinnedEndpoint:
    """
    A host and port: resolved once, every address checked, the first that answers is taken.

    One refused address refuses the host: an honest one has no mixture.
    """

    reactor: IReactorTCP
    resolver: IHostnameResolver
    allows: Callable[[IpAddress], bool]
    host: str
    port: int

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        addresses = await self._addresses()
        for address in addresses:
            if not self.allows(address):
                raise AddressRefused(self.host, address)
        reason: Exception = DNSLookupError(f"no address for {self.host}")
        for address in addresses:
            try:
                return await self._endpoint(address).connect(factory)
            except ConnectError as error:
                reason = error
        raise reason

    async def _addresses(self) -> Sequence[IpAddress]:
        try:
            return [ip_address(self.host)]
        except ValueError:
            receiver = _AddressReceiver()
            self.resolver.resolveHostName(receiver, self.host, self.port)
            return await receiver.complete

    def _endpoint(self, address: IpAddress) -> IStreamClientEndpoint:
        kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
        return kind(self.reactor, str(address), self.port, CONNECT_TIMEOUT)


@implementer(IResolutionReceiver)
@define
class _AddressReceiver:
    """Collects the addresses of one resolution."""

    complete: Deferred[Sequence[IpAddress]] = field(factory=Deferred)
    _addresses: list[IpAddress] = field(factory=list)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, IPv4Endpoint | IPv6Endpoint):
            self._addresses.append(ip_address(address.host))

    def resolutionComplete(self) -> None:
        self.complete.callback(self._addresses)
