"""
``define`` and ``frozen`` of attrs, whose classes are finished when they are first used.

attrs looks through each class, and writes and compiles its methods, while its module is imported: of a server
with four hundred such classes, that was a third of its start, which uses a third of them. Here a class gets
its slots at once, and what attrs makes of it (``__init__``, the list of fields) when somebody asks or it has
had some instances (``first_instances``); ``__repr__``, ``__eq__`` and ``__hash__`` at their first call. What
they do is what attrs says; type checkers see attrs itself.

One thing is different: what is not compared by value (``eq=False``) is not shown by it, either. Such objects
know each other, and all that they lead to would be written out, one way after the other: who shows one, an
event loop whose callback has failed, say, would never come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from modelserver.language.first_instances import FirstInstances, first_instances

__all__ = ("define", "finish", "frozen", "unfinished")

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
_Field = type(attrs.field())


class _Unchangeable:
    """Has the two methods of frozen classes: attrs gives all of them, and their subclasses, the same."""


_frozen = attrs.frozen(_Unchangeable)
_refuse_change: object = _frozen.__setattr__
_refuse_removal: object = _frozen.__delattr__

_ASKED = ("__attrs_attrs__", "__match_args__")
"""Attributes of attrs' classes that are looked at."""
_REPLACED = ("__replace__",) if hasattr(_frozen, "__replace__") else ()
"""What ``copy.replace`` calls, from Python 3.13 on."""
_CALLED = ("__init__", "__getstate__", "__setstate__", *_REPLACED)
"""Those that are called."""
_FINISHED = (*_ASKED, *_CALLED, "__attrs_own_setattr__", "__attrs_props__", "__setattr__")
"""All that attrs adds to a class."""
_BY_ATTRS = frozenset((*_CALLED, "__slots__", "__setattr__", "__delattr__"))
"""What attrs takes into account where a class has it of its own."""
_CLASS_VARIABLE = ("ClassVar", "typing.ClassVar", "t.ClassVar", "typing_extensions.ClassVar")


def unfinished(modules: Iterable[ModuleType]) -> Iterator[type]:
    """Yield the classes of modules that are to be finished when they are first used."""
    for module in modules:
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module.__name__ and not _is_finished(value):
                yield value


def _is_finished(cls: type) -> bool:
    return not isinstance(vars(cls).get("__attrs_attrs__"), _Asked)


def finish(cls: type) -> None:
    """Have attrs make what a class still lacks: half a millisecond, which its first instance is spared."""
    getattr(cls, "__attrs_attrs__", None)


def _decorate(kind: Callable[..., Any], cls: type | None, eq: bool, kw_only: bool) -> Any:
    if cls is None:
        return partial(_decorate, kind, eq=eq, kw_only=kw_only)
    make = partial(kind, cls, repr=False, eq=False, kw_only=kw_only)
    own = frozenset(vars(cls))
    is_value = kind is attrs.frozen or cls.__setattr__ is _refuse_change
    slots = None if own & _BY_ATTRS else _slots(cls)
    late = _Late(make, partial(_first_instances, cls, slots or (), is_value, kw_only))
    is_compared = eq and not issubclass(cls, BaseException)
    methods = _methods_of_values(late, own, is_compared, is_value) if eq else {}
    if slots is not None:
        late.cls = _slotted(cls, slots, {**_unfinished(late, own, is_value), **methods})
    else:
        late.cls = make()
        for name, method in methods.items():
            setattr(late.cls, name, method)
    return late.cls


class _Late:
    """
    Knows a class, and how attrs makes the same.

    :param make: has attrs make a class of the one that was written; another one, with slots of its own.
    :param plan: returns what initializes the first instances of it, or None where attrs does.
    """

    __slots__ = ("_first", "_make", "_plan", "cls")

    def __init__(self, make: Callable[[], type], plan: Callable[[], FirstInstances | None]) -> None:
        self._make: Callable[[], type] | None = make
        self._plan: Callable[[], FirstInstances | None] | None = plan
        self._first: FirstInstances | None = None
        self.cls: type = type

    def initialize(self, instance: object, arguments: tuple[object, ...], named: dict[str, object]) -> None:
        """Do what ``__init__`` does, which attrs has not made yet."""
        plan, self._plan = self._plan, None
        if plan is not None:
            self._first = plan()
        first = self._first
        if first is None or not first.has_made(instance, arguments, named):
            self.real("__init__")(instance, *arguments, **named)

    def real(self, name: str) -> Any:
        """Return what attrs has made, which stands in the class from now on."""
        make = self._make
        if make is not None:  # threads may do it twice, with the same result
            made = vars(make())
            for each in _FINISHED:
                if each in made and (each not in vars(self.cls) or _is_late(vars(self.cls)[each])):
                    setattr(self.cls, each, made[each])
            self._make = self._plan = self._first = None
        return vars(self.cls)[name]


class _Asked:
    """An attribute of a class, which attrs makes when it is looked at."""

    __slots__ = ("_late", "_name")

    def __init__(self, late: _Late, name: str) -> None:
        self._late = late
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self._late.real(self._name)


def _called(late: _Late, name: str) -> Callable[..., Any]:
    """Return a method that has attrs make the real one, which takes its place, and calls it."""

    def method(self: object, *arguments: object, **named: object) -> Any:
        return late.real(name)(self, *arguments, **named)

    method.__name__ = name
    method.is_late = True  # type: ignore[attr-defined]  # a mark, which mypy knows of no function
    return method


def _initializing(late: _Late) -> Callable[..., Any]:
    """Return an ``__init__`` that makes the first instances, until the one of attrs takes its place."""

    def __init__(self: object, *arguments: object, **named: object) -> None:
        late.initialize(self, arguments, named)

    __init__.is_late = True  # type: ignore[attr-defined]  # a mark, which mypy knows of no function
    return __init__


def _first_instances(
    cls: type, names: Collection[str], is_value: bool, kw_only: bool
) -> FirstInstances | None:
    if issubclass(cls, BaseException):
        return None
    return first_instances(cls, names, kw_only, object.__setattr__ if is_value else setattr)


def _is_late(value: object) -> bool:
    return isinstance(value, _Asked) or getattr(value, "is_late", False)


def _unfinished(late: _Late, own: frozenset[str], is_value: bool) -> dict[str, Any]:
    """Return what stands for what attrs will make."""
    names: dict[str, Any] = {name: _called(late, name) for name in _CALLED}
    names["__init__"] = _initializing(late)
    names |= {name: _Asked(late, name) for name in _ASKED if name not in own}
    if is_value:
        # At once, for by the first attrs knows a subclass of a frozen class.
        names |= {"__setattr__": _refuse_change, "__delattr__": _refuse_removal}
    return names


def _slots(cls: type) -> dict[str, object] | None:
    """
    Return a class's own fields, each with the slot of a base that it takes over, or None.

    :returns: None where only attrs can tell, or knows what else is to be done.
    """
    fields: dict[str, object] = {name: None for name, kind in cls.__annotations__.items() if _is_field(kind)}
    inherited: dict[str, object] = {}
    for base in cls.__mro__[1:-1]:
        inherited.update((name, getattr(base, name)) for name in getattr(base, "__slots__", ()))
    for name, value in vars(cls).items():
        is_odd = isinstance(value, (cached_property, _Field)) or name in inherited
        if is_odd and (name not in fields or isinstance(value, cached_property)):
            return None
    if hasattr(cls, "__attrs_init_subclass__"):
        return None
    return {name: inherited.get(name) for name in fields}


def _is_field(annotation: object) -> bool:
    words = annotation if isinstance(annotation, str) else str(annotation)
    return not words.strip("'\"").startswith(_CLASS_VARIABLE)


def _slotted(cls: type, slots: dict[str, object], more: dict[str, Any]) -> type:
    """Return the class with slots for its fields, and with more attributes."""
    left_out = {*slots, "__dict__", "__weakref__"}
    names = {name: value for name, value in vars(cls).items() if name not in left_out}
    names |= more
    names |= {name: slot for name, slot in slots.items() if slot is not None}
    room = [name for name, slot in slots.items() if slot is None]
    if all(vars(base).get("__weakref__") is None for base in cls.__mro__[1:-1]):
        room.append("__weakref__")
    names |= {"__slots__": tuple(room), "__qualname__": cls.__qualname__}
    made: type = type(cls)(cls.__name__, cls.__bases__, names)
    for cell in _cells(names.values()):
        try:
            if cell.cell_contents is cls:  # methods that say super() or __class__ mean the new one
                cell.cell_contents = made
        except ValueError:  # it is empty
            continue
    return made


def _cells(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the cells of functions, of class and static methods, and of what reads properties."""
    for value in values:
        if isinstance(value, (classmethod, staticmethod)):
            function: object = value.__func__
        else:
            function = value.fget if isinstance(value, property) else value
        yield from getattr(function, "__closure__", None) or ()


def _methods_of_values(
    late: _Late, own: frozenset[str], is_compared: bool, is_value: bool
) -> dict[str, Callable[..., Any] | None]:
    """Return what shows and compares instances. As in attrs, what a class says itself counts."""
    methods: dict[str, Callable[..., Any] | None] = {}
    if "__repr__" not in own:
        methods["__repr__"] = _at_first_call(late, "__repr__")
    if is_compared and own.isdisjoint(("__eq__", "__ne__")):
        methods["__eq__"] = _at_first_call(late, "__eq__")
        if "__hash__" not in own:
            methods["__hash__"] = _at_first_call(late, "__hash__") if is_value else None
    return methods


def _at_first_call(late: _Late, name: str) -> Callable[..., Any]:
    """Return a method that has attrs make the real one of this name, which takes its place, and calls it."""

    def method(self: object, *arguments: object) -> Any:
        real = getattr(_twin(late.cls), name)
        setattr(late.cls, name, real)
        return real(self, *arguments)

    method.__name__ = name
    return method


def _twin(cls: _Class) -> _Class:
    """Return a class with the attributes of ``cls``, and all the methods that attrs writes for values."""
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__slots__": ()}
    return attrs.define(type(cls)(cls.__name__, (cls,), names), init=False, unsafe_hash=True)
