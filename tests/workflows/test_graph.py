"""The graph of a workflow: TorchServe's rules, and the order of what is left."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from modelserver.workflows.errors import GraphInvalid
from modelserver.workflows.graph import make_graph

# edges, how the text begins, what it names
REFUSED: list[tuple[dict[str, list[str]], str, str]] = [
    ({}, "DAG should have only one start node", "none"),
    ({"a": ["b"], "b": ["a"]}, "DAG should have only one start node", "none"),
    ({"a": ["c"], "b": ["c"]}, "DAG should have only one start node", "a, b"),
    ({"a": [], "b": []}, "DAG should have only one start node", "a, b"),
    ({"a": ["a"]}, "Self loop exception", "a"),
    ({"a": ["b"], "b": ["b"]}, "Self loop exception", "b"),
    ({"a": ["b", "b"]}, "loop exception", "b follows a 2 times"),
    ({"a": ["b"], "b": ["c"], "c": ["b"]}, "Not a valid DAG", "b, c"),
    ({"a": ["b"], "b": ["c"], "c": ["d"], "d": ["b"]}, "Not a valid DAG", "b, c, d"),
]


class GraphTests(TestCase):
    """What ``make_graph`` takes and refuses."""

    def test_edges_that_are_no_graph_are_refused_in_the_words_of_the_peer(self) -> None:
        for edges, text, where in REFUSED:
            with self.subTest(edges), self.assertRaises(GraphInvalid) as caught:
                make_graph(edges)
            self.assertEqual(text, caught.exception.reason)
            self.assertIn(where, str(caught.exception))

    def test_a_chain_has_one_leaf(self) -> None:
        graph = make_graph({"pre": ["m"], "m": ["post"]})
        self.assertEqual(("pre", "m", "post"), graph.order)
        self.assertEqual("pre", graph.start)
        self.assertEqual(("post",), graph.leaves)
        self.assertEqual((), graph.children["post"])
        self.assertEqual((), graph.parents["pre"])

    def test_one_node_is_start_and_leaf(self) -> None:
        graph = make_graph({"a": []})
        self.assertEqual(("a", ("a",)), (graph.start, graph.leaves))

    def test_an_edge_that_skips_a_level_makes_a_second_parent(self) -> None:
        graph = make_graph({"pre": ["left", "show"], "left": ["show"]})
        self.assertEqual(("pre", "left"), graph.parents["show"])
        self.assertEqual(("pre", "left", "show"), graph.order)

    def test_several_leaves_are_allowed(self) -> None:
        self.assertEqual(("b", "c"), make_graph({"a": ["b", "c"]}).leaves)

    def test_limits_are_named(self) -> None:
        chain = {str(number): [str(number + 1)] for number in range(4)}
        self.assertEqual(5, len(make_graph(chain, most_nodes=5, most_edges=4).order))
        for most_nodes, most_edges in ((4, 4), (5, 3)):
            with self.assertRaisesRegex(GraphInvalid, f"{most_nodes} nodes and {most_edges} edges"):
                make_graph(chain, most_nodes=most_nodes, most_edges=most_edges)

    def test_ten_thousand_nodes_are_too_many(self) -> None:
        with self.assertRaisesRegex(GraphInvalid, "too large"):
            make_graph({str(number): [str(number + 1)] for number in range(10_000)})

    def test_long_lists_of_nodes_are_cut_in_texts(self) -> None:
        with self.assertRaisesRegex(GraphInvalid, "0, 1, 2, 3, 4 and 3 more"):
            make_graph({str(number): [] for number in range(8)})

    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
    def test_a_graph_is_ordered_or_refused(self, pairs: list[tuple[int, int]]) -> None:
        edges: dict[str, list[str]] = {}
        for parent, child in pairs:
            edges.setdefault(str(parent), []).append(str(child))
        try:
            graph = make_graph(edges)
        except GraphInvalid:
            return
        self.assertEqual(sorted(graph.order), sorted(set(graph.parents)))
        places = {node: place for place, node in enumerate(graph.order)}
        for node, following in graph.children.items():
            for other in following:
                self.assertLess(places[node], places[other])
                self.assertIn(node, graph.parents[other])
        self.assertEqual([graph.start], [node for node, before in graph.parents.items() if not before])
