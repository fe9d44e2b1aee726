"""Classes of ``language.attributes`` are as those of attrs, whose methods they make at their first call."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Hashable
from functools import cached_property
from inspect import signature
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar
from weakref import ref

import attrs
from attrs import field
from twisted.trial.unittest import SynchronousTestCase

from modelserver.language import attributes
from modelserver.language.first_instances import MOST

Held = TypeVar("Held")
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

    def greeting(self) -> str:
        """Greet the reader."""
        return f"hello, {self.name}"


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


@attributes.define
class Counting(Reader):
    """Counts its instances, and says ``super()``."""

    made: ClassVar[int] = 0
    parts: list[str] = field(factory=list, init=False)
    last: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        type(self).made += 1
        self.parts.append(super().greeting())

    def greeting(self) -> str:
        return "overridden"


@attributes.define
class Checked:
    """Its field is converted, also when it is set."""

    size: int = field(converter=int)


@attributes.define
class CheckedTwice(Checked):
    """A subclass of it."""

    name: str = ""


@attributes.define
class Cached:
    """Has what attrs itself must put into slots."""

    size: int

    @cached_property
    def double(self) -> int:
        """Twice the size."""
        return 2 * self.size


@attributes.frozen
class Box(Generic[Held]):
    """A value that holds another."""

    held: Held


class PlainBox(Box[int]):
    """A subclass that is not attrs'."""


class LateTests(SynchronousTestCase):
    """A class is finished when it is first used, and as attrs would have made it."""

    def made(self, kind: Callable[..., Any], **names: object) -> Any:
        """A class that nobody has used."""
        body = {
            "__annotations__": {"x": int, "y": "list[int]"},
            "__module__": __name__,
            "y": field(factory=list),
        }
        return kind(type("Made", (), body | names))

    def test_nothing_of_attrs_is_made_before_it_is_asked_for(self) -> None:
        for name, _, kind in KINDS:
            with self.subTest(name):
                made = self.made(kind)
                module = ModuleType(__name__)
                vars(module).update(Made=made, Other=int, word="x")
                self.assertEqual([made], list(attributes.unfinished([module])))
                attributes.finish(made)
                self.assertEqual([], list(attributes.unfinished([module])))

    def test_each_first_use_finishes_a_class(self) -> None:
        uses: tuple[Callable[[Any], object], ...] = (
            lambda made: [made(1) for _ in range(MOST + 1)],
            attrs.fields,
            lambda made: made.__match_args__,
            lambda made: made.__new__(made).__setstate__({"x": 1, "y": []}),
        )
        for number, use in enumerate(uses):
            for name, _, kind in KINDS:
                with self.subTest(use=number, kind=name):
                    made = self.made(kind)
                    use(made)
                    theirs = getattr(attrs, name)(self.made(lambda cls: cls))
                    # Without it, Python asks __eq__.
                    self.assertEqual({*vars(theirs)} - {"__ne__"}, {*vars(made)})
                    self.assertEqual(attrs.fields(theirs), attrs.fields(made))
                    self.assertEqual(theirs.__match_args__, made.__match_args__)
                    self.assertEqual(theirs.__slots__, made.__slots__)
                    self.assertEqual(signature(theirs), signature(made))

    def test_instances_have_no_room_but_for_their_fields(self) -> None:
        counting = Counting("a")
        self.assertFalse(hasattr(counting, "__dict__"))
        self.assertRaises(AttributeError, setattr, counting, "other", 1)
        self.assertIs(counting, ref(counting)())
        self.assertEqual(("parts", "last"), Counting.__slots__)

    def test_class_variables_hooks_and_super(self) -> None:
        before = Counting.made
        counting = Counting("a", last="b")
        self.assertEqual((before + 1, ["hello, a"], "b"), (Counting.made, counting.parts, counting.last))
        self.assertRaises(TypeError, Counting, "a", "b")
        self.assertRaises(TypeError, Counting)

    def test_fields_are_converted_when_they_are_set(self) -> None:
        for made in (CheckedTwice("3"), Checked("3")):
            self.assertEqual(3, made.size)
            made.size = "4"  # type: ignore[assignment]  # mypy sees the type of the field
            self.assertEqual(4, made.size)

    def test_cached_properties(self) -> None:
        cached = Cached(2)
        self.assertEqual((4, 4), (cached.double, cached.double))

    def test_subclasses_that_are_not_attrs(self) -> None:
        self.assertEqual(3, PlainBox(3).held)
        self.assertEqual(["held"], [each.name for each in attrs.fields(PlainBox)])
        self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, PlainBox(3), "held", 4)

    def test_patterns(self) -> None:
        match Spot(1, 2):
            case Spot(x, y):
                self.assertEqual((1, 2), (x, y))
            case _:
                self.fail("it is none")

    def test_threads_may_finish_a_class_at_once(self) -> None:
        made = self.made(attributes.frozen)
        first, second = [vars(made)["__init__"] for _ in range(2)]
        one, other = made.__new__(made), made.__new__(made)
        first(one, 1)
        second(other, 1)
        self.assertEqual(one, other)

    def test_all_classes_of_the_server_can_be_finished(self) -> None:
        import modelserver.server.service  # noqa: F401  # with all that a start loads

        ours = [module for name, module in sorted(sys.modules.items()) if name.startswith("modelserver.")]
        for cls in attributes.unfinished(ours):
            attributes.finish(cls)
        self.assertEqual([], list(attributes.unfinished(ours)))


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

    def test_what_is_compared_by_identity_is_shown_so(self) -> None:
        """Such objects know each other: to show all that one leads to would take forever."""
        self.assertEqual(object.__repr__(reader := Reader("a")), repr(reader))

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
