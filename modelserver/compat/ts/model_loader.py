"""Loads a handler as TorchServe's workers do: for tests of handlers, and programs that run one themselves."""

from modelserver.child.handler_tests.loaders import ModelLoader, TsModelLoader
from modelserver.compat.borrowed import borrowed

__all__ = ["ModelLoader", "ModelLoaderFactory", "TsModelLoader"]


class ModelLoaderFactory:
    """Makes the loader."""

    @staticmethod
    def get_model_loader():
        """The loader of all models."""
        return TsModelLoader()


__getattr__ = borrowed(__name__)
