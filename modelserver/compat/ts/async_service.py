"""Names of TorchServe's asynchronous worker; here ``asyncCommunication`` needs none of them."""

from modelserver.compat.borrowed import borrowed
from modelserver.compat.not_here import OnlyThere, only_there

__all__ = ["AsyncService", "predict"]

predict = only_there("predict")


class AsyncService(OnlyThere):
    """Takes the batches of the Java server from a socket."""


__getattr__ = borrowed(__name__)
