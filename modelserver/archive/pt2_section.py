"""The section ``pt2`` of ``model-config.yaml``: what torch is to do with a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

RUNS = ("eager", "compiled")
OWN_OPTIONS = ("batch", "device", "run")
"""Options that are not for torch.compile."""
_PEER_OPTIONS = ("compile", "export")
_OF_COMPILE = (
    "backend",
    "disable",
    "dynamic",
    "fullgraph",
    "isolate_recompiles",
    "mode",
    "name",
    "options",
    "recompile_limit",
    "shapes_spec",
)
"""Arguments of torch.compile, which older archives have in the section itself."""


class BatchBounds(NamedTuple):
    """
    The batches that a model takes.

    :param most: None if there is no upper bound.
    """

    least: int = 1
    most: int | None = None

    def __str__(self) -> str:
        if self.most is None:
            return "any size" if self.least <= 1 else f"{self.least} or more"
        return f"exactly {self.most}" if self.least == self.most else f"{self.least} to {self.most}"

    def check(self) -> BatchBounds:
        """
        Return these bounds.

        :raises ValueError: no batch is within them.
        """
        if self.least < 1 or (self.most is not None and self.most < self.least):
            raise ValueError(f"no batch has a size from {self.least} to {self.most}")
        return self


class ProgramOptions(NamedTuple):
    """
    What the section says of a model that torch has exported or compiled (``.pt2``).

    :param device: where it computes; None: on the worker's device.
    :param batch: the batches that it takes; None: those of the model.
    """

    device: str | None = None
    batch: BatchBounds | None = None


def read_program_options(config: Mapping[str, object]) -> ProgramOptions:
    """
    Read the section for a ``.pt2``, which no peer has: what is wrong in it is refused, not passed over.

    :raises ValueError: an option is unknown, or its value is wrong.
    """
    section = config.get("pt2")
    if section is None or isinstance(section, str):
        return ProgramOptions()
    if not isinstance(section, Mapping):
        raise ValueError(f"pt2 is a mapping of options to values, not {section!r}")
    unknown = set(section) - {*OWN_OPTIONS, *_PEER_OPTIONS, *_OF_COMPILE}
    if unknown:
        known = ", ".join((*OWN_OPTIONS, *_PEER_OPTIONS))
        raise ValueError(f"pt2 has {known}; not {', '.join(sorted(map(str, unknown)))}")
    compile_options(config)
    device = section.get("device")
    if not (device is None or isinstance(device, str)):
        raise ValueError(f"pt2: device is a name like cpu or cuda:0, not {device!r}")
    return ProgramOptions(device, read_bounds(section.get("batch")))


def read_bounds(value: object) -> BatchBounds | None:
    """
    Read the option ``batch``: a size, or ``{min: ..., max: ...}``; None if it is absent.

    :raises ValueError: it is neither, or no batch is within it.
    """
    if value is None:
        return None
    given: Mapping[Any, Any] = value if isinstance(value, Mapping) else {"min": value, "max": value}
    least, most = given.get("min", 1), given.get("max")
    if set(given) - {"min", "max"} or type(least) is not int or type(most) not in (int, type(None)):
        raise ValueError(f"pt2: batch is a size or {{min: ..., max: ...}}, not {value!r}")
    return BatchBounds(least, most).check()


def compile_options(config: Mapping[str, object]) -> dict[str, object] | None:
    """
    Return the arguments for torch.compile, or None if it is not asked for.

    ``pt2`` is the name of a backend, or holds ``compile: {enable: true, backend: ..., mode: ...}``, or, as
    older archives have it, ``backend`` and the others themselves. ``run: compiled`` asks for it, too, and
    ``run: eager`` for none.

    :raises ValueError: ``run`` is another word.
    """
    section = config.get("pt2")
    if isinstance(section, str):
        return {"backend": section}
    if not isinstance(section, Mapping):
        return None
    run = section.get("run")
    if run not in (None, *RUNS):
        raise ValueError(f"pt2: run is {' or '.join(RUNS)}, not {run!r}")
    others = {name: value for name, value in section.items() if name not in OWN_OPTIONS}
    options = section.get("compile", {} if "export" in section else {**others, "enable": bool(others)})
    if not isinstance(options, Mapping) or run == "eager" or not (options.get("enable") or run == "compiled"):
        return None
    return {name: value for name, value in options.items() if name != "enable"}
