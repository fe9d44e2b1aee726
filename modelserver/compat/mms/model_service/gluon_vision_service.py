"""A service of MXNet's Gluon for images; it can be imported only."""

from mms.model_service.mxnet_model_service import GluonImperativeBaseService

from modelserver.compat.borrowed import borrowed

__all__ = ["GluonImperativeBaseService", "GluonVisionService"]


class GluonVisionService(GluonImperativeBaseService):
    """The classes of images."""


__getattr__ = borrowed(__name__)
