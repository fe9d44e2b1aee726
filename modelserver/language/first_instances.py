"""
Makes the first instances of a class without the ``__init__`` that attrs would write and compile for it.

Most classes that a start uses have one instance. attrs takes half a millisecond to finish a class, and what
goes through the fields as attrs would 10 microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs

MOST = 10
"""How many instances of a class are made so: what attrs writes is faster."""

_Setter = Callable[[Any, str, object], None]
_Marked: Any = type(attrs.field())
_TOLD = ("_default", "_validator", "converter", "init", "kw_only", "alias", "on_setattr")
"""What ``attrs.field()`` tells of a field. A release of attrs that tells it otherwise writes all methods."""


class _Field:
    """
    One field, as ``__init__`` sees it.

    :param kw_only: all fields of the class are given by name.
    """

    __slots__ = ("default", "is_argument", "is_factory", "is_named", "key", "name")

    def __init__(self, name: str, default: Any, kw_only: bool) -> None:
        marked = default if isinstance(default, _Marked) else None
        self.name = name
        self.key: str = (marked and marked.alias) or name.lstrip("_")
        self.default: Any = default if marked is None else marked._default
        self.is_factory = isinstance(self.default, attrs.Factory)  # type: ignore[arg-type]  # a class
        self.is_argument: bool = marked is None or marked.init
        self.is_named = kw_only or bool(marked and marked.kw_only)

    def must_be_given(self) -> bool:
        return self.is_argument and self.default is attrs.NOTHING

    def start(self, instance: object) -> Any:
        """Return what an instance has where nothing is given, ``attrs.NOTHING`` for nothing."""
        if not self.is_factory:
            return self.default
        return self.default.factory(instance) if self.default.takes_self else self.default.factory()


class FirstInstances:
    """
    Initializes the first instances of a class.

    :param set_field: sets an attribute; of values, past what refuses that.
    :param has_more_to_do: the class has an ``__attrs_post_init__``.
    """

    __slots__ = ("_fields", "_has_more_to_do", "_keys", "_left", "_places", "_required", "_set_field")

    def __init__(self, fields: Sequence[_Field], set_field: _Setter, has_more_to_do: bool) -> None:
        self._fields = fields
        self._set_field = set_field
        self._has_more_to_do = has_more_to_do
        self._keys = frozenset(each.key for each in fields if each.is_argument)
        self._places = [each.key for each in fields if each.is_argument and not each.is_named]
        self._required = frozenset(each.key for each in fields if each.must_be_given())
        self._left = MOST

    def has_made(self, instance: object, arguments: Sequence[object], named: dict[str, object]) -> bool:
        """
        Do what ``__init__`` does, or nothing.

        :return: False: nothing was done; there were enough of them, or attrs is to say what is wrong.
        """
        given = dict(zip(self._places, arguments, strict=False))
        if self._left <= 0 or len(given) < len(arguments) or not named.keys().isdisjoint(given):
            return False
        given.update(named)
        if not (self._keys.issuperset(given) and self._required.issubset(given)):
            return False
        self._left -= 1
        for each in self._fields:
            value = given.get(each.key, attrs.NOTHING) if each.is_argument else attrs.NOTHING
            if value is attrs.NOTHING:
                value = each.start(instance)
            if value is not attrs.NOTHING:
                self._set_field(instance, each.name, value)
        if self._has_more_to_do:
            instance.__attrs_post_init__()  # type: ignore[attr-defined]  # the class has it
        return True


def first_instances(
    cls: type, names: Collection[str], kw_only: bool, set_field: _Setter
) -> FirstInstances | None:
    """
    Return what initializes the first instances of a class as it was written, or None: attrs has to.

    :param names: its own fields, in order.
    """
    values: Mapping[str, Any] = vars(cls)
    if not all(_is_plain(values[name]) for name in names if isinstance(values.get(name), _Marked)):
        return None
    if hasattr(cls, "__attrs_pre_init__") or any("__attrs_attrs__" in vars(base) for base in cls.__mro__[1:]):
        return None
    fields = [_Field(name, values.get(name, attrs.NOTHING), kw_only) for name in names]
    by_place = [each.must_be_given() for each in fields if each.is_argument and not each.is_named]
    if by_place != sorted(by_place, reverse=True):
        return None  # attrs refuses fields that must be given after others
    return FirstInstances(fields, set_field, bool(getattr(cls, "__attrs_post_init__", False)))


def _is_plain(marked: Any) -> bool:
    """Whether a field is neither checked nor converted, nor watched when it is set."""
    told = [getattr(marked, name, marked) for name in _TOLD]
    has_all = not any(value is marked for value in told)
    return has_all and marked._validator is None and marked.converter is None and marked.on_setattr is None
