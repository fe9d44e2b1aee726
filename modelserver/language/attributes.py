"""
``define`` and ``frozen`` of attrs, whose classes compile what few of them ever use when it is first used.

attrs writes and compiles the source of each class's ``__init__``, ``__repr__``, ``__eq__`` and
``__hash__`` while its module is imported: of a server with four hundred such classes, that was a third of
what its imports took. Here ``__init__`` is made at once, and the other three by attrs at their first call,
which puts them into the class. What they do is what attrs says; type checkers see attrs itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

__all__ = ("define", "frozen")

if TYPE_CHECKING:
    from attrs import define, frozen
else:

    def define(maybe_cls: type | None = None, *, eq: bool = True, kw_only: bool = False) -> Any:
        """Make a class, as ``attrs.define`` does."""
        return _decorate(attrs.define, maybe_cls, eq, kw_only)

    def frozen(maybe_cls: type | None = None, *, eq: bool = True, kw_only: bool = False) -> Any:
        """Make a class of values, as ``attrs.frozen`` does."""
        return _decorate(attrs.frozen, maybe_cls, eq, kw_only)


_Class = TypeVar("_Class", bound=type)


class _Unchangeable:
    """Has the ``__setattr__`` of frozen classes: attrs gives all of them, and their subclasses, the same."""


_refuse_change = attrs.frozen(_Unchangeable).__setattr__


def _decorate(kind: Callable[..., Any], cls: type | None, eq: bool, kw_only: bool) -> Any:
    if cls is None:
        return partial(_decorate, kind, eq=eq, kw_only=kw_only)
    own = frozenset(vars(cls))
    made = kind(cls, repr=False, eq=False, kw_only=kw_only)
    if "__repr__" not in own:
        made.__repr__ = _at_first_call(made, "__repr__")
    # As in attrs, exceptions are compared by identity, and what a class says itself counts.
    if eq and not issubclass(cls, BaseException) and own.isdisjoint(("__eq__", "__ne__")):
        made.__eq__ = _at_first_call(made, "__eq__")
        if "__hash__" not in own:
            is_value = made.__setattr__ is _refuse_change
            made.__hash__ = _at_first_call(made, "__hash__") if is_value else None
    return made


def _at_first_call(cls: type, name: str) -> Callable[..., Any]:
    """Return a method that has attrs make the real one of this name, which takes its place, and calls it."""

    def method(self: object, *arguments: object) -> Any:
        real = getattr(_twin(cls), name)
        setattr(cls, name, real)
        return real(self, *arguments)

    method.__name__ = name
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    return method


def _twin(cls: _Class) -> _Class:
    """Return a class with the attributes of ``cls``, and all the methods that attrs writes for values."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__slots__": ()}
    return attrs.define(type(cls)(cls.__name__, (cls,), names), init=False, unsafe_hash=True)
