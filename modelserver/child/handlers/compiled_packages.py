"""Packages compiled by AOTInductor: what they say of themselves, and loading them without a compiler."""

from __future__ import annotations

import json
import logging
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from modelserver.archive.pt2_section import BatchBounds
from modelserver.archive.weights_formats import compiled_models

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

CHECK_INPUTS = "AOTI_RUNTIME_CHECK_INPUTS"
"""The variable that has a package compare its inputs' shapes; it computes with wrong ones otherwise."""

_EXPECTED = re.compile(
    rb'"input_handles\[0\]: (unmatched dim value|dim value is too small|dim value is too large) at 0, "\s*'
    rb'<< "expected(?: it)?(?: to be)?(?: [<>]=)?:? (\d+)'
)
_LARGEST_SOURCE = 64 << 20
_UNBOUNDED = 2**31
"""What the compiler takes for "no upper bound" is a number as well."""


class PackageFacts(NamedTuple):
    """
    What a package says of itself.

    :param model: the name of the model in it.
    :param device: the kind of device that it was compiled for; None if it does not say.
    :param bounds: the batches that it was compiled for, from the sources in it; None if it has none.
    """

    model: str
    device: str | None
    bounds: BatchBounds | None


def package_facts(path: str) -> PackageFacts:
    """
    Read a package's own words, without loading it.

    :raises ValueError: it has several models and none is called "model", or it is not compiled to the end.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        models = compiled_models(names)
        model = models[0] if len(models) == 1 else "model"
        if model not in models:
            raise ValueError(f"{os.path.basename(path)} has the models {', '.join(models)}, none named model")
        own = [name for name in names if f"data/aotinductor/{model}/" in name]
        if not any(name.endswith(".so") for name in own):
            raise ValueError(
                f"{os.path.basename(path)} has sources only: it would have to be compiled in each worker. "
                "Package it with its library (torch._inductor.aoti_compile_and_package)."
            )
        return PackageFacts(model, _device(archive, own), _bounds(archive, own))


def _device(archive: zipfile.ZipFile, names: list[str]) -> str | None:
    for name in names:
        if name.endswith("_metadata.json"):
            metadata = json.loads(archive.read(name))
            if isinstance(metadata, Mapping) and "AOTI_DEVICE_KEY" in metadata:
                return str(metadata["AOTI_DEVICE_KEY"])
    return None


def _bounds(archive: zipfile.ZipFile, names: list[str]) -> BatchBounds | None:
    """The sizes of the first dimension of the first input, from the checks in the generated source."""
    for name in names:
        if not name.endswith(".cpp") or archive.getinfo(name).file_size > _LARGEST_SOURCE:
            continue
        found = {kind: int(number) for kind, number in _EXPECTED.findall(archive.read(name))}
        exact = found.get(b"unmatched dim value")
        if exact is not None:
            return BatchBounds(exact, exact)
        if found:
            most = found.get(b"dim value is too large")
            return BatchBounds(
                found.get(b"dim value is too small", 1),
                None if most is None or most >= _UNBOUNDED else most,
            )
    return None


class CompiledModel:
    """
    A package that is called like the module that it was made of.

    :param loader: torch's ``AOTIModelPackageLoader``.
    """

    def __init__(self, loader: Any) -> None:
        from torch.utils._pytree import treespec_loads

        self.loader = loader
        taken, given = loader.get_call_spec()
        self._taken, self._given = treespec_loads(taken), treespec_loads(given)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import torch
        from torch.utils._pytree import tree_flatten, tree_unflatten

        if kwargs:
            order = self._taken.children()[1].context
            if set(order) != set(kwargs):
                raise TypeError(f"The compiled model takes the named inputs {order}, not {list(kwargs)}")
            kwargs = {name: kwargs[name] for name in order}
        values, _ = tree_flatten((args, kwargs))
        answers = self.loader.run([value for value in values if isinstance(value, torch.Tensor)])
        return tree_unflatten(answers, self._given)


def _direct_loader() -> Callable[..., Any] | None:
    try:
        from torch._C._aoti import AOTIModelPackageLoader
    except ImportError:
        return None
    loader: Callable[..., Any] = AOTIModelPackageLoader
    return loader


def load_package(
    path: str,
    device: torch.device,
    model: str,
    find_loader: Callable[[], Callable[..., Any] | None] = _direct_loader,
) -> Callable[..., Any]:
    """
    Load a compiled package.

    By the class beneath ``torch._inductor.aoti_load_package`` where this torch has it: the public
    function starts a compiler several times, only to find out what there is.

    :param model: the name of the model in it.
    :param find_loader: returns that class, or None.
    """
    os.environ.setdefault(CHECK_INPUTS, "1")
    loader = find_loader()
    if loader is not None:
        try:
            # path, model, run_single_threaded, num_runners, device_index
            opened = loader(path, model, False, 1, -1 if device.index is None else device.index)
        except TypeError:
            pass  # an older signature
        else:
            return CompiledModel(opened)
    from torch._inductor import aoti_load_package

    log.info("This torch has no loader of its own for compiled packages: aoti_load_package is slower.")
    return aoti_load_package(path)
