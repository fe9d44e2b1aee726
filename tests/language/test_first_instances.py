"""The first instances of a class are as attrs' own ``__init__`` would make them, or it makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs import field
from twisted.trial.unittest import SynchronousTestCase

from modelserver.language import attributes
from modelserver.language.first_instances import MOST

KINDS = ("define", "frozen")


def bodies() -> dict[str, dict[str, Any]]:
    """Return the fields of classes, each with what attrs treats in its own way."""
    return {
        "plain": {"x": attrs.NOTHING, "y": 2},
        "private": {"_x": attrs.NOTHING, "y": field(default=3, alias="why")},
        "factories": {
            "x": field(),
            "y": field(factory=list),
            "z": field(default=attrs.Factory(lambda self: [self.x, *self.y], takes_self=True)),
            "last": attrs.Factory(dict),
        },
        "named": {"x": field(kw_only=True), "y": attrs.NOTHING, "z": field(default=1, kw_only=True)},
        "not given": {"x": field(init=False), "y": field(default=1, init=False), "z": attrs.NOTHING},
        "checked": {
            "x": field(converter=int),
            "y": field(default=1, validator=attrs.validators.instance_of(int)),
        },
    }


CALLS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((), {}),
    ((1,), {}),
    ((1, [2]), {}),
    ((1, [2], [3], [4]), {}),
    ((1, 2, 3, 4, 5), {}),
    ((1,), {"x": 2}),
    ((1,), {"y": "b"}),
    ((1,), {"_y": 2}),
    ((), {"x": 1}),
    ((), {"x": 1, "y": 2}),
    ((), {"x": 1, "why": 2}),
    ((), {"z": 1}),
    ((2,), {"x": 1, "z": 4}),
)


def made(kind: Callable[..., Any], fields: dict[str, Any], **more: Any) -> Any:
    """Return a class that nobody has used."""
    body = {name: value for name, value in fields.items() if value is not attrs.NOTHING}
    body |= {"__annotations__": dict.fromkeys(fields, Any), "__module__": __name__}
    return kind(type("Made", more.pop("bases", ()), body | more))


def outcome(cls: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> object:
    """Return the fields of an instance, or what it is refused with."""
    try:
        instance = cls(*arguments, **named)
    except TypeError as error:
        return str(error)
    except ValueError as error:
        return repr(error)
    return {name: getattr(instance, name) for name in cls.__slots__ if hasattr(instance, name)}


def is_finished(cls: Any) -> bool:
    """Whether attrs has written its methods."""
    return not getattr(vars(cls)["__init__"], "is_late", False)


class FirstInstancesTests(SynchronousTestCase):
    """Beside attrs' own classes."""

    def test_each_call_does_what_it_does_with_attrs(self) -> None:
        for kind in KINDS:
            for name in bodies():
                for arguments, named in CALLS:
                    with self.subTest(kind=kind, body=name, arguments=arguments, named=named):
                        ours = made(getattr(attributes, kind), bodies()[name])
                        theirs = made(getattr(attrs, kind), bodies()[name])
                        expected = outcome(theirs, arguments, named)
                        self.assertEqual(expected, outcome(ours, arguments, named))
                        self.assertEqual(expected, outcome(ours, arguments, named))

    def test_attrs_writes_the_methods_of_what_has_many_instances(self) -> None:
        for kind in KINDS:
            with self.subTest(kind):
                cls = made(getattr(attributes, kind), bodies()["factories"])
                instances = [cls(1) for _ in range(MOST)]
                self.assertFalse(is_finished(cls))
                instances.append(cls(1))
                self.assertTrue(is_finished(cls))
                self.assertEqual([cls(1)] * (MOST + 1), instances)

    def test_all_fields_are_named(self) -> None:
        cls = made(lambda plain: attributes.frozen(plain, kw_only=True), {"x": attrs.NOTHING, "y": 1})
        self.assertEqual(4, cls(x=4).x)
        self.assertFalse(is_finished(cls))
        self.assertRaises(TypeError, cls, 4)

    def test_what_a_class_does_after_it(self) -> None:
        seen: list[Any] = []
        cls = made(attributes.define, bodies()["plain"], __attrs_post_init__=lambda self: seen.append(self.x))
        cls(5)
        self.assertEqual(([5], False), (seen, is_finished(cls)))

    def test_values_refuse_changes_before_attrs_has_finished_their_class(self) -> None:
        value = made(attributes.frozen, bodies()["plain"])(1)
        self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, value, "x", 2)
        self.assertRaises(attrs.exceptions.FrozenInstanceError, delattr, value, "x")

    def test_attrs_makes_what_only_it_can(self) -> None:
        base = made(attributes.define, bodies()["plain"])
        before = made(attributes.define, bodies()["plain"], __attrs_pre_init__=lambda self: None)
        for cls in (
            made(attributes.define, bodies()["checked"]),
            made(attributes.define, {"z": 1}, bases=(base,)),
            made(attributes.define, {"x": attrs.NOTHING}, bases=(Exception,)),
            before,
        ):
            with self.subTest(cls):
                cls(1)
                self.assertTrue(is_finished(cls))

    def test_attrs_refuses_a_field_that_must_be_given_after_others(self) -> None:
        cls = made(attributes.define, {"x": 1, "y": attrs.NOTHING})
        self.assertRaises(ValueError, cls, 1, 2)
