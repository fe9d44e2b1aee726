"""Torch without threads while a template loads: a pool of threads does not survive a fork."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class TorchThreads(MetaPathFinder):
    """
    Holds torch to one thread from its import, however late, until ``release``.

    The number that torch has chosen by itself, or that the handler sets meanwhile, is only remembered. A
    copy of a process with OpenMP's pool would wait for ever for the threads that it does not have.
    """

    def __init__(self) -> None:
        self._torch: Any = None
        self._wanted = 1
        self._is_chosen = False

    def hold(self) -> None:
        """Torch gets one thread, now or when it is imported."""
        torch = sys.modules.get("torch")
        if torch is None:
            sys.meta_path.insert(0, self)
        else:
            self._seize(torch)

    def release(self, own: int | None = None) -> None:
        """
        Torch gets the threads that it would have in a process of its own, or those that the handler has set.

        :param own: what this process's environment says, if its template's said something else.
        """
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        torch, self._torch = self._torch, None
        if torch is not None:
            torch.set_num_threads, torch.get_num_threads = self._set, self._get
            self._set(self._wanted if self._is_chosen or own is None else own)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find torch as the others do, and be told when it has been imported."""
        if name != "torch":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        loader, execute = spec.loader, spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            self._seize(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _seize(self, torch: Any) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._torch = torch
        self._set, self._get = torch.set_num_threads, torch.get_num_threads
        self._wanted = self._get()
        self._set(1)
        torch.set_num_threads, torch.get_num_threads = self._remember, self._tell

    # What a handler has of torch meanwhile, and perhaps keeps.

    def _remember(self, count: int) -> None:
        if self._torch is None or not isinstance(count, int) or count < 1:
            self._set(count)  # which raises what torch raises
        else:
            self._wanted, self._is_chosen = count, True

    def _tell(self) -> int:
        return int(self._get()) if self._torch is None else self._wanted
