"""Makes an archive of its options."""

from __future__ import annotations

import logging
import shutil

from model_archiver.arg_parser import ArgParser
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_archiver_error import ModelArchiverError
from model_archiver.model_packaging_utils import ModelExportUtils, archiving_options

__all__ = [
    "ArgParser",
    "ModelArchiverConfig",
    "ModelArchiverError",
    "ModelExportUtils",
    "generate_model_archive",
    "package_model",
]


def package_model(config: ModelArchiverConfig, manifest: str) -> None:
    """
    Make an archive with a manifest of one's own; warnings and failures are logged, too.

    :raises ModelArchiverError: none can be made; the text says why.
    """
    try:
        if config.archive_format not in archiving_options:
            known = ", ".join(archiving_options)
            raise ModelArchiverError(f"archive_format {config.archive_format!r} is none of {known}.")
        _package(config, manifest)
    except ModelArchiverError as why:
        logging.error(why)
        raise


def _package(config: ModelArchiverConfig, manifest: str) -> None:
    folder = config.export_path or "."
    ModelExportUtils.validate_inputs(config.model_name, folder)
    folder = ModelExportUtils.check_mar_already_exists(
        config.model_name, folder, config.force, config.archive_format
    )
    files = {
        "model_file": config.model_file,
        "serialized_file": config.serialized_file,
        "handler": config.handler,
        "extra_files": config.extra_files,
        "requirements_file": config.requirements_file,
        "config_file": config.config_file,
    }
    links = ModelExportUtils.link_artifacts(config.model_name, config.runtime, **files)
    try:
        ModelExportUtils.archive(folder, config.model_name, links, manifest, config.archive_format)
    finally:
        shutil.rmtree(links)
    logging.info("Successfully exported model %s to file %s", config.model_name, folder)


def generate_model_archive(config: ModelArchiverConfig | None = None) -> None:
    """
    Make an archive; without options, of those of this process's command.

    :raises ModelArchiverError: none can be made; the text says why.
    """
    config = ArgParser.export_model_args_parser() if config is None else config
    package_model(config, ModelExportUtils.generate_manifest_json(config))


if __name__ == "__main__":
    generate_model_archive()
