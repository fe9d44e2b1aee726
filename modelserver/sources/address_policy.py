"""The addresses that a download may connect to where the operator has set no patterns."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_REFUSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # unspecified, "this network"
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, with the metadata services of most clouds
            "192.0.0.0/24",  # protocol assignments, with Oracle's metadata service
            "100.100.100.200/32",  # Alibaba's metadata service
            "168.63.129.16/32",  # Azure's wire server
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_OPEN_6 = (IPv6Network("2000::/3"), IPv6Network("fc00::/7"))
_METADATA_6 = tuple(map(IPv6Address, ("fd00:ec2::254", "fd20:ce::254", "fd00:42::42")))
_NAT64 = IPv6Network("64:ff9b::/96")


def is_open(address: IPv4Address | IPv6Address) -> bool:
    """
    Return whether an address is a public one or one of a private network.

    Loopback, link-local, metadata, multicast, unspecified and reserved addresses are not, nor is an IPv6
    address that carries one of these (mapped, 6to4, Teredo, NAT64).
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    if address.ipv4_mapped is not None:
        return is_open(address.ipv4_mapped)
    carried = _carried(address)
    if not all(is_open(inner) for inner in carried):
        return False
    if address in _NAT64:
        return True
    return address not in _METADATA_6 and any(address in network for network in _OPEN_6)


def _carried(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that a gateway would find in an IPv6 address."""
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()
