"""Classes of ``language.attributes`` are as those of attrs, whose methods they make at their first call."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Hashable
from typing import Any

import attrs
from attrs import field
from twisted.trial.unittest import SynchronousTestCase

from modelserver.language import attributes

KINDS: tuple[tuple[str, bool, Callable[..., Any]], ...] = (
    ("define", False, attributes.define),
    ("frozen", True, attributes.frozen),
)


@attributes.frozen
class Spot:
    """A value; one field is not compared, one is not shown."""

    x: int
    y: int = 0
    note: str = field(default="", eq=False)
    secret: str = field(default="", repr=False)


@attributes.frozen
class FarSpot(Spot):
    """A subclass, with one field more."""

    distance: float = 0.0


@attributes.define
class Pen:
    """What changes, and is compared by its fields."""

    colour: str


@attributes.define
class Moved(Spot):
    """A subclass that attrs freezes as its base is frozen."""


@attributes.define(eq=False)
class Reader:
    """What is compared by identity."""

    name: str


@attributes.frozen
class Own:
    """Says itself how it is shown and compared."""

    name: str

    def __repr__(self) -> str:
        return "own"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __hash__(self) -> int:
        return 7


@attributes.frozen
class TooFar(Exception):
    """An exception that carries data."""

    distance: int


class AttributesTests(SynchronousTestCase):
    """What differs from attrs is when methods are made."""

    def test_values_are_equal_by_their_fields(self) -> None:
        self.assertEqual(Spot(1, 2), Spot(1, 2))
        self.assertNotEqual(Spot(1, 2), Spot(1, 3))
        self.assertEqual(Spot(1, note="a"), Spot(1, note="b"))
        self.assertNotEqual(Spot(1), (1, 0, "", ""))
        self.assertIs(NotImplemented, Spot(1).__eq__(1))

    def test_equal_values_have_equal_hashes(self) -> None:
        self.assertEqual(1, len({Spot(1, 2, note="a"), Spot(1, 2, note="b")}))
        self.assertEqual(2, len({Spot(1, 2), Spot(2, 1)}))

    def test_a_value_is_shown_with_its_fields(self) -> None:
        self.assertEqual("Spot(x=1, y=2, note='')", repr(Spot(1, 2, secret="s")))

    def test_a_subclass_has_methods_of_its_own(self) -> None:
        Spot(1), repr(Spot(1)), hash(Spot(1))
        self.assertEqual("FarSpot(x=1, y=0, note='', distance=2.0)", repr(FarSpot(1, distance=2.0)))
        self.assertNotEqual(FarSpot(1, distance=2.0), FarSpot(1, distance=3.0))
        self.assertNotEqual(FarSpot(1), Spot(1))
        self.assertNotEqual(hash(FarSpot(1, distance=2.0)), hash(FarSpot(1, distance=3.0)))

    def test_what_changes_cannot_be_hashed(self) -> None:
        self.assertNotIsInstance(Pen("red"), Hashable)
        self.assertEqual(Pen("red"), Pen("red"))

    def test_what_a_frozen_base_freezes_can_be_hashed(self) -> None:
        self.assertEqual(hash(Moved(1)), hash(Moved(1)))
        self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, Moved(1), "x", 2)

    def test_identity_counts_where_that_is_asked_for(self) -> None:
        reader = Reader("a")
        self.assertNotEqual(reader, Reader("a"))
        self.assertEqual({reader}, {reader})
        self.assertEqual("Reader(name='a')", repr(reader))

    def test_what_a_class_says_itself_counts(self) -> None:
        self.assertEqual(("own", 7), (repr(Own("a")), hash(Own("a"))))
        self.assertEqual(Own("a"), Own("b"))

    def test_exceptions_are_compared_by_identity(self) -> None:
        error = TooFar(3)
        self.assertEqual(error, error)
        self.assertNotEqual(error, TooFar(3))
        self.assertEqual("TooFar(distance=3)", repr(error))

    def test_the_first_call_puts_attrs_method_in_place(self) -> None:
        for name, is_frozen, kind in KINDS:
            with self.subTest(name):
                made = kind(type("Made", (), {"__annotations__": {"x": int}, "__module__": __name__}))
                before = vars(made)["__eq__"]
                self.assertEqual(made(1), made(1))
                first = vars(made)["__eq__"]
                self.assertIsNot(before, first)
                self.assertEqual(made(2), made(2))
                self.assertIs(first, vars(made)["__eq__"])
                self.assertTrue(before(made(1), made(1)))
                self.assertEqual(is_frozen, isinstance(made(1), Hashable))

    def test_attrs_functions_work(self) -> None:
        spot = Spot(1, 2)
        self.assertEqual(Spot(3, 2), attrs.evolve(spot, x=3))
        self.assertEqual({"x": 1, "y": 2, "note": "", "secret": ""}, attrs.asdict(spot))
        self.assertEqual(spot, pickle.loads(pickle.dumps(spot)))
