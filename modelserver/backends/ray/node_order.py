"""What an agent is told by whoever starts it: where the server is, and how it knows it."""

from __future__ import annotations

import json

from attrs import field

from modelserver.language.attributes import frozen


@frozen
class NodeOrder:
    """
    The line that an agent reads.

    :param address: where the server listens for its nodes.
    :param certificate: the server's, as PEM.
    :param token: proves that this is the agent that the server has asked for.
    :param silence: seconds without a word from the server after which the agent ends.
    :param cache: the folder of models, below the node's folder for temporary files unless it is absolute.
    :param cache_size: bytes of that folder.
    """

    address: tuple[str, int]
    certificate: str
    token: bytes = field(repr=False)
    silence: float
    cache: str
    cache_size: int

    @classmethod
    def read(cls, line: bytes) -> NodeOrder:
        """Read the line that an agent is given."""
        order = json.loads(line)
        host, port = order["address"]
        return cls(
            address=(str(host), int(port)),
            certificate=str(order["certificate"]),
            token=bytes.fromhex(order["token"]),
            silence=float(order["silence"]),
            cache=str(order["cache"]),
            cache_size=int(order["cache_size"]),
        )

    def to_line(self) -> bytes:
        """Return the line that ``read`` reads."""
        return (
            json.dumps(
                {
                    "address": self.address,
                    "certificate": self.certificate,
                    "token": self.token.hex(),
                    "silence": self.silence,
                    "cache": self.cache,
                    "cache_size": self.cache_size,
                }
            )
            + "\n"
        ).encode()
