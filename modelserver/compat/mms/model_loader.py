"""Loads a handler as Multi Model Server's workers do: for tests of handlers, and programs that run one."""

import os

from modelserver.child.handler_tests.loaders import LegacyModelLoader, MmsModelLoader, ModelLoader
from modelserver.compat.borrowed import borrowed

__all__ = ["LegacyModelLoader", "MmsModelLoader", "ModelLoader", "ModelLoaderFactory"]


class ModelLoaderFactory:
    """Makes the loader that an archive needs."""

    @staticmethod
    def get_model_loader(model_dir):
        """The loader of an archive: those of 0.x have their manifest at the top."""
        is_old = os.path.exists(os.path.join(model_dir, "MANIFEST.json"))
        has_new = os.path.exists(os.path.join(model_dir, "MAR-INF", "MANIFEST.json"))
        return LegacyModelLoader() if is_old and not has_new else MmsModelLoader()


__getattr__ = borrowed(__name__)
