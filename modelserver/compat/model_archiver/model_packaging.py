"""Makes an archive of its options."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from model_archiver.manifest_components.manifest import RuntimeType
from model_archiver.model_archiver_config import ModelArchiverConfig, Place
from model_archiver.model_archiver_error import ModelArchiverError

from modelserver.archive.pack import FORMATS, PackRequest, pack
from modelserver.archive.packing import PackingFailed, listed


def generate_model_archive(config: ModelArchiverConfig) -> None:
    """
    Make an archive; warnings and failures are logged, too.

    :raises ModelArchiverError: none can be made; the text says why.
    """
    if config.archive_format not in FORMATS:
        raise ModelArchiverError(f"archive_format {config.archive_format!r} is none of {', '.join(FORMATS)}.")
    try:
        made = pack(_request(config), tell=logging.warning)
    except PackingFailed as why:
        logging.error(why)
        raise ModelArchiverError(str(why)) from why
    logging.info("Successfully exported model %s to file %s", config.model_name, made)


def _request(config: ModelArchiverConfig) -> PackRequest:
    return PackRequest(
        model_name=config.model_name,
        version=config.version,
        handler=os.fspath(config.handler),
        serialized_file=_name(config.serialized_file),
        model_file=_name(config.model_file),
        extra_files=listed(config.extra_files),
        requirements_file=_name(config.requirements_file),
        config_file=_name(config.config_file),
        runtime=RuntimeType(config.runtime).value,
        export_path=Path(config.export_path or Path.cwd()),
        archive_format=config.archive_format,
        force=config.force,
    )


def _name(place: Place | None) -> str | None:
    return None if place is None else os.fspath(place)
