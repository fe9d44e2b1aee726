"""Which node a worker is wished to."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.placing import ClusterView, Placing


class FakeState:
    """What is free on each node."""

    def __init__(self, free: dict[str, dict[str, float]]) -> None:
        self.free = free

    def available_resources_per_node(self) -> dict[str, dict[str, float]]:
        """As Ray has it."""
        return self.free


class FakeGroups:
    """Placement groups that no node takes."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.removed: list[object] = []

    def placement_group(
        self, bundles: list[dict[str, float]], strategy: str, _soft_target_node_id: str | None
    ) -> SimpleNamespace:
        """Note which node was wished for."""
        self.asked.append(_soft_target_node_id)
        return SimpleNamespace(wait=lambda seconds: False, name=len(self.asked))

    def remove_placement_group(self, group: SimpleNamespace) -> None:
        """Note it."""
        self.removed.append(group.name)


def view_of(**processors: float) -> ClusterView:
    """A cluster of nodes with so many free processors."""
    free = {name: {"CPU": count} for name, count in processors.items()}
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"CPU": 8.0}} for name in processors]
    dead = {"NodeID": "dead", "Alive": False, "Resources": {"CPU": 8.0}}
    ray = SimpleNamespace(nodes=lambda: [dead, *nodes], _private=SimpleNamespace(state=FakeState(free)))
    ray.util = FakeGroups()
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

    def test_node_that_was_silent_is_avoided_while_another_has_room(self) -> None:
        view = view_of(a=4, b=1)
        view.avoid("a")
        self.assertEqual(["b", "b"], self.choices(view, "spread", 2))
        self.assertEqual([None], self.choices(view, "spread", 1, amount=2.0))


class WaitingTests(SynchronousTestCase):
    """A group that no node takes."""

    def waiting(self, view: ClusterView) -> Placing:
        """A place that was asked for."""
        document = {"version": "m/1", "strategy": "spread", "resources": {"CPU": 1}, "line": ""}
        placing = Placing.of(view, document)
        placing.look()
        return placing

    def look_later(self, placing: Placing) -> None:
        """Look when the present group had its time."""
        placing._anew_at = 0.0
        placing.look()

    def test_it_is_asked_for_elsewhere(self) -> None:
        view = view_of(a=4, b=4)
        placing = self.waiting(view)
        placing.look()
        self.assertEqual((["a"], []), (view.ray.util.asked, view.ray.util.removed))
        self.look_later(placing)
        self.assertEqual((["a", "b"], [1]), (view.ray.util.asked, view.ray.util.removed))

    def test_it_waits_on_where_there_is_no_other(self) -> None:
        view = view_of(a=4)
        placing = self.waiting(view)
        self.look_later(placing)
        self.assertEqual((["a"], []), (view.ray.util.asked, view.ray.util.removed))

    def test_worker_of_a_silent_node_goes_elsewhere_at_once(self) -> None:
        view = view_of(a=4, b=4)
        self.waiting(view).cancel(is_silent=True)
        self.waiting(view)
        self.assertEqual(["a", "b"], view.ray.util.asked)

    def test_worker_that_was_ended_leaves_its_node_wished_for(self) -> None:
        view = view_of(a=4, b=4)
        self.waiting(view).cancel()
        self.waiting(view)
        self.assertEqual(["a", "a"], view.ray.util.asked)
