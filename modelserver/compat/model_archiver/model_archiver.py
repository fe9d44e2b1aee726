"""Packs archives from Python."""

from __future__ import annotations

from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging import generate_model_archive

__all__ = ["ModelArchiver", "ModelArchiverConfig", "generate_model_archive"]


class ModelArchiver:
    """What ``torch-model-archiver`` does, as a call."""

    @staticmethod
    def generate_model_archive(config: ModelArchiverConfig) -> None:
        """
        Make an archive.

        :raises ModelArchiverError: none can be made; the text says why.
        """
        generate_model_archive(config)
