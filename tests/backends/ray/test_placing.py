"""Which node a worker is wished to."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.placing import ClusterView


class FakeState:
    """What is free on each node."""

    def __init__(self, free: dict[str, dict[str, float]]) -> None:
        self.free = free

    def available_resources_per_node(self) -> dict[str, dict[str, float]]:
        """As Ray has it."""
        return self.free


def view_of(**processors: float) -> ClusterView:
    """A cluster of nodes with so many free processors."""
    free = {name: {"CPU": count} for name, count in processors.items()}
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"CPU": 8.0}} for name in processors]
    dead = {"NodeID": "dead", "Alive": False, "Resources": {"CPU": 8.0}}
    ray = SimpleNamespace(nodes=lambda: [dead, *nodes], _private=SimpleNamespace(state=FakeState(free)))
    return ClusterView(ray, "192.0.2.1")


class ChoiceTests(SynchronousTestCase):
    """Nodes are chosen by what they have of a version, and by their room."""

    def choices(self, view: ClusterView, strategy: str, count: int, amount: float = 1.0) -> list[str | None]:
        """So many choices, of which none has come to its place yet."""
        return [view.choose("resnet/1.0", {"CPU": amount}, strategy) for _ in range(count)]

    def test_workers_that_look_together_are_spread(self) -> None:
        self.assertEqual(["a", "b", "c", "a"], self.choices(view_of(a=4, b=4, c=4), "spread", 4))

    def test_workers_that_look_together_are_packed(self) -> None:
        self.assertEqual(["a", "a", "a"], self.choices(view_of(a=4, b=4), "pack", 3))

    def test_node_without_room_is_not_chosen(self) -> None:
        self.assertEqual(["b", "b"], self.choices(view_of(a=1, b=4), "spread", 2, amount=2.0))
        self.assertEqual([None], self.choices(view_of(a=1), "spread", 1, amount=2.0))

    def test_worker_that_came_elsewhere_is_counted_there(self) -> None:
        view = view_of(a=4, b=4)
        self.assertEqual("a", view.choose("resnet/1.0", {"CPU": 1.0}, "spread"))
        self.assertEqual(1, view.move("resnet/1.0", "a", "b"))
        self.assertEqual("a", view.choose("resnet/1.0", {"CPU": 1.0}, "spread"))

    def test_worker_that_is_gone_counts_no_more(self) -> None:
        view = view_of(a=4, b=4)
        self.choices(view, "spread", 2)
        view.move("resnet/1.0", "a", None)
        self.assertEqual(["a"], self.choices(view, "spread", 1))

    def test_other_versions_do_not_count(self) -> None:
        view = view_of(a=4, b=4)
        self.choices(view, "spread", 1)
        self.assertEqual("a", view.choose("resnet/2.0", {"CPU": 1.0}, "spread"))
