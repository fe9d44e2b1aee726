"""Examines a ``config.properties`` of TorchServe or MMS: what works, differs, is ignored, or fails here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import ParamSpec, TypeVar

from attrs import field
from packaging.version import Version
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from modelserver.cli.doctor.findings import Finding, Report
from modelserver.config.loading import parse_properties, read_text, replace_variables
from modelserver.config.settings import Settings, build_settings, read_value
from modelserver.config.table import KEY
from modelserver.config.value_types import ConfigurationError
from modelserver.dialect_rules import DIALECTS, MMS, TORCHSERVE
from modelserver.language.attributes import frozen
from modelserver.server.grpc import GrpcUnusable, missing_for_grpc, plan_grpc
from modelserver.server.tls.context import identity, server_context
from modelserver.server.tls.material import TlsUnusable
from modelserver.server.workflow_startup import workflow_requests
from modelserver.sources.store import StoreSource
from modelserver.system.cpus import usable_processors
from modelserver.system.threads import OPENMP, ProcessorShare, number_of_threads

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

SOUND_PIP = Version("25.3")
"""The first pip that checks where links in source archives lead (CVE-2025-8869)."""

_ARCHIVES = (".mar", ".model", ".tar.gz")
_ORDER = ("differs", "ignored", "fails")
_NEEDED_FILES = ("keystore", "private_key_file", "certificate_file", "metrics_config")


@frozen
class Installation:
    """
    A configuration that was examined.

    :param archives: the files and folders that it loads at the start.
    :param settings: what could be read of it.
    """

    report: Report
    settings: Settings
    archives: tuple[Path, ...] = ()


@frozen
class _Read:
    """Properties with their variables replaced, and what was found while reading them."""

    good: dict[str, str] = field(factory=dict)
    findings: list[Finding] = field(factory=list)

    def fail(self, name: str, text: str) -> None:
        self.findings.append(Finding("fails", name, text))


def examine_configuration(
    file: Path, environ: Mapping[str, str], cwd: Path, dialect: str | None = None
) -> Installation:
    """
    Read a configuration, key by key, without stopping at the first one that is wrong.

    :param environ: the variables that ``$$NAME$$`` stands for.
    :param cwd: the folder that the server will be started in.
    :param dialect: ``torchserve`` or ``mms``, or None to tell by the keys.
    """
    try:
        properties = parse_properties(read_text(file))
    except ConfigurationError as error:
        return Installation(Report(str(file), (Finding("fails", file.name, str(error)),)), Settings())
    spoken = dialect or _dialect_of(properties)
    read = _read(properties, environ, cwd)
    settings = build_settings(read.good, spoken, cwd)
    archives, about_models = _of_store(settings.model_store, _models(settings))
    requests = workflow_requests(settings)
    workflows, about_workflows = _of_store(settings.workflow_folder, [each.request.url for each in requests])
    about_keys = (*_about_keys(read, spoken), *_about_files(settings))
    about_threads = _about_threads(settings, environ, len(archives))
    findings = (
        *_in_order(about_keys),
        *_about_access(settings),
        *about_grpc(settings),
        *about_models,
        *about_workflows,
        *about_threads,
        *about_pip(settings),
    )
    if dialect is None and not _tells_dialect(properties):
        text = "Nothing in it tells whose it is: read as TorchServe's. --dialect mms reads it as MMS's."
        findings = (*findings, Finding("works", "peer", text))
    return Installation(Report(f"{file} ({spoken})", findings), settings, (*archives, *workflows))


def _tells_dialect(properties: Mapping[str, str]) -> bool:
    """Return whether the keys tell the dialect: one is ``dialect``, or known to one of the two only."""
    return "dialect" in properties or any(len(KEY[name].peers) == 1 for name in properties if name in KEY)


def _dialect_of(properties: Mapping[str, str]) -> str:
    """Return the dialect that alone has some of the keys; ``torchserve`` where no key decides."""
    if properties.get("dialect", "").lower() in DIALECTS:
        return properties["dialect"].lower()
    peers = [KEY[name].peers for name in properties if name in KEY]
    return MMS.name if ("MMS",) in peers and ("TS",) not in peers else TORCHSERVE.name


def _read(properties: Mapping[str, str], environ: Mapping[str, str], cwd: Path) -> _Read:
    """Replace the variables, and keep the values that can be read."""
    read = _Read()
    for name, text in properties.items():
        try:
            value = replace_variables(name, text, environ)
            if value and name in KEY:
                read_value(name, value, cwd)
            read.good[name] = value
        except ConfigurationError as error:
            read.fail(name, _without_key(error))
    return read


def _without_key(error: ConfigurationError) -> str:
    reason = error.reason or f"{error.value} is not allowed"
    return f"{reason}; allowed: {error.allowed}." if error.allowed else f"{reason}."


def _about_keys(read: _Read, dialect: str) -> Iterator[Finding]:
    yield from read.findings
    for name, value in read.good.items():
        if name not in KEY:
            yield Finding("ignored", name, "It is not a key of the configuration.")
            continue
        if KEY[name].warning(value) is not None:
            is_ignored = KEY[name].status == "accepted"
            yield Finding("ignored" if is_ignored else "differs", name, _sentence(KEY[name].reason))
            continue
        if KEY[name].quiet:
            continue
        difference = _difference(name, value, dialect)
        yield Finding("works", name) if difference is None else Finding("differs", name, difference)
    if not read.good.get("allowed_urls"):
        text = "It is not set: loopback, link-local and metadata addresses are refused; the peers allow them."
        yield Finding("differs", "allowed_urls", text)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _difference(name: str, value: str, dialect: str) -> str | None:
    """Return how this server differs from the peer for a value of an implemented key, or None."""
    if name == "default_response_timeout" and DIALECTS[dialect].counts_minutes:
        return "It is in seconds, as documented; MMS's program takes minutes."
    if name == "use_env_allowed_urls" and value.lower() == "true":
        return "It is enough by itself; TorchServe wants enable_envvars_config, too."
    if name == "install_py_dep_per_model" and value.lower() == "true":
        return "Lines with pip options are refused, unless allow_requirements_options=true."
    return None


def _in_order(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Return the findings in order: those that work in one row, then the rest, failures last."""
    rest = [finding for finding in findings if finding.verdict != "works"]
    works = {finding.what for finding in findings} - {finding.what for finding in rest}
    if works:
        yield Finding("works", ", ".join(sorted(works)))
    yield from sorted(rest, key=lambda finding: (_ORDER.index(finding.verdict), finding.what))


def _about_files(settings: Settings) -> Iterator[Finding]:
    for name in _NEEDED_FILES:
        path: Path | None = getattr(settings, name)
        if path is not None and not path.is_file():
            yield Finding("fails", name, f"{path} is not a file here.")
    for name in ("model_store", "workflow_store"):
        store: Path | None = getattr(settings, name)
        if store is not None and not store.is_dir():
            yield Finding("fails", name, f"{store} is not a folder here.")
    named = [
        path for path in (settings.keystore, settings.private_key_file, settings.certificate_file) if path
    ]
    if named and all(path.is_file() for path in named):
        try:
            server_context(identity(settings), settings.tls_security_level)
        except TlsUnusable as why:
            yield Finding("fails", "TLS", _sentence(str(why)))


def _about_access(settings: Settings) -> Iterator[Finding]:
    if not DIALECTS[settings.dialect].has_tokens:
        return
    if not settings.disable_token_authorization:
        text = "Every call needs one from key_file.json, as in TorchServe 0.12."
        yield Finding("works", "tokens", text + _under_serve(settings, "disable_token_authorization"))
    if not settings.enable_model_api:
        text = "They are off, as in TorchServe 0.12."
        yield Finding("works", "register, unregister", text + _under_serve(settings, "enable_model_api"))


def about_grpc(settings: Settings, missing: Callable[[], str | None] = missing_for_grpc) -> Iterator[Finding]:
    """
    Say where gRPC is served, or why it is not.

    :param missing: says what gRPC needs and is not installed, or returns None.
    """
    try:
        plan = plan_grpc(settings, missing)
    except GrpcUnusable as why:
        yield Finding("fails", "gRPC", f"{why}.")
        return
    if plan.note is not None:
        yield Finding("differs", "gRPC", f"{plan.note}.")
    elif plan.addresses:
        where = ", ".join(f"{side} at {address}" for side, address in plan.addresses.items())
        yield Finding("works", "gRPC", _sentence(where))


def _about_threads(settings: Settings, environ: Mapping[str, str], models: int) -> Iterator[Finding]:
    """Warn of more threads than processors: those of workers that are to be there after the start."""
    processors = usable_processors()
    workers = max(1, models) * (settings.default_workers_per_model or processors)
    share = ProcessorShare(processors, workers)
    threads = number_of_threads(environ) or share.threads
    if share.is_crowded(threads):
        by = f"{OPENMP}={threads}" if number_of_threads(environ) else "each has one at least"
        each = _counted(threads, "thread")
        text = (
            f"{_counted(workers, 'worker')} with {each} each ({by}) are more than the {processors} "
            f"processors that can be used here. Fewer workers, or {OPENMP} not set, answer faster."
        )
        yield Finding("differs", "threads", text)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _under_serve(settings: Settings, key: str) -> str:
    """Return the remark on ``modelserver serve``, which presets a key that is not configured."""
    if settings.properties.get(key):
        return ""
    return f" Under 'modelserver serve' only where {key}=false is written."


def _models(settings: Settings) -> list[str]:
    """Return where the models are that are loaded at the start."""
    if settings.model_snapshot is not None:
        versions = settings.model_snapshot.models.values()
        return [version.archive for each in versions for version in each.values()]
    store = settings.model_store
    if settings.load_models.everything and store is not None and store.is_dir():
        return sorted(path.name for path in store.iterdir() if _is_model(path))
    return [model.url for model in settings.load_models.models]


def _of_store(store: Path | None, urls: Iterable[str]) -> tuple[tuple[Path, ...], tuple[Finding, ...]]:
    """Return the archives that are in a store, and the findings about the others."""
    source = StoreSource(store, _at_once, anywhere=True)
    archives: list[Path] = []
    findings: list[Finding] = []
    for url in dict.fromkeys(urls):
        if url.startswith(("http://", "https://")):
            findings.append(
                Finding("works", url, "It is downloaded at the start; doctor did not look at it.")
            )
        else:
            source.fetch(url).addCallbacks(archives.append, _not_found(url, findings))
    return tuple(archives), tuple(findings)


def _not_found(url: str, findings: list[Finding]) -> Callable[[Failure], None]:
    def tell(failure: Failure) -> None:
        findings.append(Finding("fails", url, str(failure.value)))

    return tell


def _at_once(
    function: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> Deferred[_Result]:
    """Run a function at once instead of in a thread: nothing else waits meanwhile."""
    return execute(function, *args, **kwargs)


def _is_model(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.name.endswith(_ARCHIVES))


def about_pip(settings: Settings, version: Callable[[str], str] = metadata.version) -> Iterator[Finding]:
    """
    Look at the pip that will install the requirements of archives.

    :param version: returns the version of a package of this interpreter, which is the workers' by default.
    """
    if not settings.install_py_dep_per_model or settings.worker_python is not None:
        return
    try:
        found = version("pip")
    except metadata.PackageNotFoundError:
        yield Finding("fails", "install_py_dep_per_model", "pip is not installed here.")
        return
    if Version(found) < SOUND_PIP:
        text = f"pip {found} has known vulnerabilities in unpacking archives; {SOUND_PIP} has not."
        yield Finding("differs", "install_py_dep_per_model", text)
