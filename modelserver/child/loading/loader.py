"""From a handler's name to something that can be called with ``(data, context)``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from modelserver.child.context import Context, EntryPoint, new_context
from modelserver.child.failures import LoadFailed, print_traceback
from modelserver.child.loading.event_loops import as_blocking, in_thread, new_event_loop, on_the_loop
from modelserver.child.metrics import unowned
from modelserver.protocol.load_request import LoadRequest
from modelserver.system.installation import COMPAT


def load(request: LoadRequest) -> tuple[EntryPoint, Context]:
    """
    Import the handler and initialize it.

    :raises LoadFailed: it raised, or there is none.
    """
    try:
        prepare(request)
        module, function = import_handler(request.handler, request.folder)
        return initialize(request, module, function)
    except BaseException as error:  # ``sys.exit`` and panics of Rust, too
        print_traceback(error)
        raise LoadFailed.because(error) from error


def prepare(request: LoadRequest) -> None:
    """Stand in the model's folder, with the search path that the peers give to handlers."""
    os.chdir(request.folder)
    sys.path[:0] = [*own_folders(request), *request.search_path]
    if str(COMPAT) not in sys.path:
        sys.path.append(str(COMPAT))


def own_folders(request: LoadRequest) -> list[str]:
    """The folders of the model itself on the search path: the handler's, the archive's, and a link's."""
    folder = request.folder
    path, colon, _ = request.handler.partition(":")
    folders = [folder]
    if colon and "/" in path:
        folders.insert(0, os.path.join(folder, os.path.dirname(path)))
    if os.path.islink(folder):
        folders.append(os.path.dirname(folder))
    return folders


def module_of(handler: str) -> str:
    """The name of the module that a handler's name means."""
    path, _, _ = handler.partition(":")
    return path.rsplit("/", 1)[-1].removesuffix(".py")


def import_handler(handler: str, folder: str) -> tuple[ModuleType, str]:
    """
    The module that a handler's name means, and the name of its function.

    ``module``, ``module:function``, ``file.py``, ``folder/file.py:function``, or a built-in name.

    :raises ImportError: there is no such module, or its import failed.
    """
    _, _, function = handler.partition(":")
    name = module_of(handler)
    if not name:
        raise ImportError(f"no handler is named by {handler!r}")
    importlib.invalidate_caches()
    file = file_of(name, folder)
    if file is not None and name in sys.modules:
        # A module of the server's or of the standard library has the handler's name.
        return _import_file(name, file), function or "handle"
    if file is None and importlib.util.find_spec(name) is None:
        from modelserver.child.handlers import BUILT_IN

        if name not in BUILT_IN:
            raise ModuleNotFoundError(
                f"No module named {name!r}: the handler is not in the archive", name=name
            )
        name = BUILT_IN[name]
    return importlib.import_module(name), function or "handle"


def file_of(name: str, folder: str) -> str | None:
    """The file of a top-level module of the archive, once the search path is that of a worker."""
    for at in dict.fromkeys([*sys.path[:2], folder]):
        file = os.path.join(at, f"{name}.py")
        if at.startswith(folder) and os.path.isfile(file):
            return file
    return None


def _import_file(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def initialize(request: LoadRequest, module: ModuleType, function: str) -> tuple[EntryPoint, Context]:
    """
    Call the handler's function once, or its class's ``initialize``.

    :raises ValueError: the module has neither the function nor exactly one class of its own.
    """
    context = new_context(request)
    unowned.collect_for(context)
    is_concurrent = request.mode == "concurrent"
    entry: EntryPoint
    if hasattr(module, function):
        entry = getattr(module, function)
        loop = new_event_loop(is_concurrent, entry)
        as_blocking(entry, loop)(None, context)
    else:
        service = _new_service(request, module)
        entry, prepare_model = service.handle, getattr(service, "initialize", None)
        loop = new_event_loop(is_concurrent, entry, prepare_model)
        if prepare_model is not None:
            as_blocking(prepare_model, loop)(context)
        _warm_up(service, context)
    if not is_concurrent:
        entry = as_blocking(entry, loop)
    if request.envelope:
        entry = _enveloped(request.envelope, entry, is_concurrent)
    return entry, context


def _warm_up(service: object, context: Context) -> None:
    """Have a handler make the calls that model-config.yaml declares, where it knows how."""
    if not isinstance(context.model_yaml_config.get("warmup"), Mapping):
        return
    warm_up = getattr(service, "warm_up", None)
    if warm_up is None:
        print("warmup in model-config.yaml is ignored: the handler is no BaseHandler, and has no warm_up.")
    else:
        warm_up(context)


def _enveloped(name: str, entry: EntryPoint, is_concurrent: bool) -> EntryPoint:
    from modelserver.child.envelopes.select import wrap

    if not is_concurrent:
        return wrap(name, entry)
    return in_thread(wrap(name, on_the_loop(entry)))


def _new_service(request: LoadRequest, module: ModuleType) -> Any:
    """An object of the handler's class; a service of MMS 0.x is told of its model."""
    manifest = request.manifest
    if manifest is None or "Model" not in manifest:
        return only_class(module)()
    from modelserver.child.handlers.model_service import ModelService

    service = only_class(module, ModelService)
    return service(request.name, request.folder, manifest, request.gpu_id)


def only_class(module: ModuleType, base: type = object) -> type:
    """
    The one class that a module defines.

    :param base: classes of other kinds are not looked at.
    :raises ValueError: it defines none, or several.
    """
    classes = [
        member
        for member in vars(module).values()
        if isinstance(member, type) and member.__module__ == module.__name__ and issubclass(member, base)
    ]
    if len(classes) != 1:
        raise ValueError(
            "Expected only one class in custom service code or a function entry point, "
            f"found {[found.__name__ for found in classes]} in {module.__name__}"
        )
    return classes[0]
