"""Examines a model archive: finds what this server would refuse or lack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from modelserver.archive.manifest import Manifest, model_config, read_manifest
from modelserver.archive.model_config import read_model_config
from modelserver.archive.unpack import open_archive, remove
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding, Report
from modelserver.cli.doctor.handler_imports import Missing, lacks_function, missing_imports
from modelserver.cli.doctor.model_sections import about_sections, about_spelling
from modelserver.cli.doctor.weights import about_python, about_weights
from modelserver.cli.doctor.workflow import examine_workflow
from modelserver.errors import ArchiveInvalid, ServingError

BUILT_IN_HANDLERS = (
    "base_handler",
    "image_classifier",
    "image_segmenter",
    "object_detector",
    "text_classifier",
)
"""The handlers that an archive may name without having them."""

SUFFIXES = (".mar", ".model", ".tar.gz", ".tgz", ".zip", ".war")
"""What names of archives end in."""

_ANY_GPU = 1 << 16
"""How many GPUs the server will have, is not known here: no device number is too high."""


def examine_archive(path: Path, examination: Examination) -> Report:
    """Unpack an archive, read its manifest, and read its Python files without running them. Blocks."""
    return Report(str(path), tuple(_findings(path, examination)))


def _findings(path: Path, examination: Examination) -> Iterator[Finding]:
    if path.name.endswith(".war"):
        folder = examination.scratch / "archive"
        try:
            yield from examine_workflow(path, folder, examination)
        finally:
            remove(folder)
        return
    try:
        rules = examination.settings.manifest_rules()
        limits = examination.settings.archive_limits()
        folder = open_archive(path, examination.scratch / "archive", limits, rules.wrapped_folders)
    except ServingError as error:
        yield Finding("fails", path.name, str(error))
        return
    try:
        yield from _in_folder(folder, examination)
    finally:
        remove(folder)


def _in_folder(folder: Path, examination: Examination) -> Iterator[Finding]:
    try:
        manifest = read_manifest(folder, examination.settings.manifest_rules())
    except ServingError as error:
        yield Finding("fails", "manifest", str(error))
        return
    yield from _about_manifest(manifest)
    yield from _about_handler(manifest, folder, examination)
    yield from about_weights(manifest, folder, examination)
    yield from about_python(folder)
    yield from _about_model_config(manifest, folder, examination)


def _about_manifest(manifest: Manifest) -> Iterator[Finding]:
    name = manifest.model_name or "without a name: the registration must give one"
    yield Finding("works", "manifest", f"{name}, version {manifest.model_version}, {manifest.runtime}")
    if manifest.legacy:
        yield Finding("differs", "manifest", "It is of MMS 0.x; its version is called snapshot.")


def _about_handler(manifest: Manifest, folder: Path, examination: Examination) -> Iterator[Finding]:
    handler = manifest.handler or examination.settings.default_service_handler
    file = None if handler is None else _handler_file(handler, folder)
    model_file = None if manifest.model_file is None else folder / manifest.model_file
    files = [each for each in (file, model_file) if each is not None and each.is_file()]
    wrong = list(_about_imports(files, manifest, folder, examination))
    yield from wrong
    if handler is None:
        text = "The manifest names none: the registration must, or default_service_handler."
        yield Finding("differs", "handler", text)
    elif file is None:
        yield _handler_elsewhere(handler, examination)
    elif not wrong and lacks_function(file, handler.partition(":")[2]):
        yield Finding("fails", "handler", f"{handler}: there is no such function in {file.name}.")
    elif not wrong:
        yield Finding("works", "handler", f"{handler}; everything that it imports is here.")


def _handler_elsewhere(handler: str, examination: Examination) -> Finding:
    """Return what this server does with a handler that is not in the archive."""
    module = _module_name(handler)
    if module in BUILT_IN_HANDLERS:
        return Finding("works", "handler", f"{handler} comes with the server.")
    if examination.importable(module):
        return Finding("works", "handler", f"{handler} is installed.")
    return Finding("fails", "handler", f"{handler} is neither in the archive nor a handler of this server.")


def _module_name(handler: str) -> str:
    return handler.partition(":")[0].rsplit("/", 1)[-1].removesuffix(".py")


def _handler_file(handler: str, folder: Path) -> Path | None:
    directory = handler.partition(":")[0].rpartition("/")[0]
    for at in (folder / directory, folder):
        for file in (at / f"{_module_name(handler)}.py", at / _module_name(handler) / "__init__.py"):
            if file.is_file():
                return file
    return None


def _about_imports(
    files: Sequence[Path], manifest: Manifest, folder: Path, examination: Examination
) -> Iterator[Finding]:
    """Yield what is wrong with Python files."""
    missing: list[Missing] = []
    for file in files:
        try:
            missing.extend(missing_imports(file, folder, examination.importable))
        except SyntaxError as why:
            yield Finding(
                "fails", "handler", f"{why.filename}, line {why.lineno}, is not Python 3: {why.msg}."
            )
        except (OSError, ValueError) as why:
            yield Finding("fails", "handler", f"{file.name} cannot be read: {why}.")
    for absent in dict.fromkeys(missing):
        where = f"{absent.module}, imported by {absent.file} in line {absent.line}, is not installed here"
        if manifest.requirements_file is None:
            yield Finding("fails", "handler", f"{where}.")
        else:
            text = f"{where}; the archive's requirements need install_py_dep_per_model=true."
            installs = examination.settings.install_py_dep_per_model
            yield Finding("differs" if installs else "fails", "handler", text)


def _about_model_config(manifest: Manifest, folder: Path, examination: Examination) -> Iterator[Finding]:
    try:
        document = model_config(folder, manifest)
    except ArchiveInvalid as why:
        yield Finding("fails", "model-config.yaml", str(why))
        return
    config, problems = read_model_config(document, _ANY_GPU)
    wrong = [*about_sections(manifest, folder, config.document), *about_spelling(config.document)]
    yield from wrong
    for problem in problems:
        yield Finding("ignored", "model-config.yaml", problem.removeprefix("model-config.yaml: "))
    if config.torchrun is not None and not examination.importable("torch"):
        kind = config.settings["parallel_type"]
        text = f"parallelType={kind} needs torchrun, but torch is not installed here."
        yield Finding("fails", "model-config.yaml", text)
    elif document and not problems and not wrong:
        yield Finding("works", "model-config.yaml", ", ".join(document))
