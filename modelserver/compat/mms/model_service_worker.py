"""Names of the program that the Java server runs as a worker."""

from modelserver.compat.borrowed import borrowed
from modelserver.compat.not_here import OnlyThere

__all__ = ["DEBUG", "MAX_FAILURE_THRESHOLD", "SOCKET_ACCEPT_TIMEOUT", "MXNetModelServiceWorker"]

MAX_FAILURE_THRESHOLD = 5
SOCKET_ACCEPT_TIMEOUT = 30.0
DEBUG = False


class MXNetModelServiceWorker(OnlyThere):
    """Takes the batches of the Java server from a socket."""


__getattr__ = borrowed(__name__)
