"""The options of an archive."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, fields
from os import PathLike

from model_archiver.manifest_components.manifest import RuntimeType

Place = str | PathLike[str]


@dataclass
class ModelArchiverConfig:
    """
    The options of ``torch-model-archiver``, by the same names.

    :param extra_files: files, folders and patterns, separated by commas.
    :param export_path: None: the folder that is current when the archive is made.
    """

    model_name: str
    handler: Place
    version: str
    serialized_file: Place | None = None
    model_file: Place | None = None
    extra_files: str | None = None
    runtime: str = RuntimeType.PYTHON.value
    export_path: Place | None = None
    archive_format: str = "default"
    force: bool = False
    requirements_file: Place | None = None
    config_file: Place | None = None

    @classmethod
    def from_args(cls, args: Namespace) -> ModelArchiverConfig:
        """Take the options from what a parser of arguments has read."""
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls)})
