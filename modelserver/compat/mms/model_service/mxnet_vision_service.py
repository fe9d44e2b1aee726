"""A service of MXNet for images; it can be imported only."""

from mms.model_service.mxnet_model_service import MXNetBaseService

from modelserver.compat.borrowed import borrowed

__all__ = ["MXNetBaseService", "MXNetVisionService"]


class MXNetVisionService(MXNetBaseService):
    """The classes of images."""


__getattr__ = borrowed(__name__)
