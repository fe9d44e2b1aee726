"""The specification of a workflow: what it says, and where it is wrong."""

from __future__ import annotations

from unittest import TestCase

from modelserver.archive.workflow_spec import SpecLimits, read_workflow_spec
from modelserver.errors import ServingError
from modelserver.workflows.errors import GraphInvalid, WorkflowInvalid
from modelserver.workflows.spec import (
    Condition,
    Items,
    Node,
    NodeModel,
    NodeSettings,
    WorkflowSpec,
)

SEQUENTIAL = """
models:
    min-workers: 1
    max-workers: 2
    batch-size: 4
    max-batch-delay: 100
    retry-attempts: 5
    timeout-ms: 300000
    m1:
       url: model1.mar
       timeout-ms: 250
    m2:
       url: model2.mar
dag:
    pre_processing: [m1]
    m1: [m2]
    m2: [""]
"""
DAG = "dag: {m: []}\n"
TWO = "dag: {a: [m]}\n"

# text, what is said; ``W`` has the line
REFUSED = [
    ("", "w.yaml is not a mapping with the keys models and dag."),
    ("[]", "w.yaml is not a mapping"),
    ("dag: {}", "w.yaml has no key models."),
    ("models: {}", "w.yaml has no key dag."),
    ("models:\ndag: {a: []}", "models: a mapping is needed (w.yaml, line 1)."),
    ("models: {}\ndag: [a]", "dag: a mapping is needed (w.yaml, line 2)."),
    ("models: {}\ndag:\n  a:", "dag.a: a list of nodes is needed (w.yaml, line 3)."),
    ("models: {}\ndag:\n  a: b", "dag.a: a list of nodes is needed (w.yaml, line 3)."),
    ("models: {}\ndag:\n  a:\n  - b\n  - 3", "dag.a.1: 3 is no name"),
    ("models: {}\ndag:\n  a:\n  - b\n  - 3", "(w.yaml, line 5)."),
    ("models: {}\ndag:\n  yes: []", "dag.True: a name of"),
    ("models: {}\ndag: {m-1: []}", "dag.m-1: it is not under models, and no function can have this name"),
    ("models: {}\ndag: {a/b: []}", "dag.a/b: a name of"),
    (
        f"models:\n  m: m.mar\n{DAG}",
        "models.m: a mapping with url, model or function is needed (w.yaml, line 2).",
    ),
    (f"models:\n  m:\n{DAG}", "models.m: a mapping with url, model or function is needed"),
    (f"models:\n  batch-size: 0\n{DAG}", "models.batch-size: a whole number from 1 to 2147483647 is needed"),
    (f"models:\n  m:\n    url: u\n    timeout-ms: x\n{DAG}", "models.m.timeout-ms: a whole number from 1"),
    (f"models:\n  m:\n    url: u\n    timeout-ms: x\n{DAG}", "(w.yaml, line 4)."),
    (f"models:\n  m:\n    url: u\n    max-workers: true\n{DAG}", "models.m.max-workers: a whole number"),
    (f"models:\n  m:\n    url: u\n    retry-attempts: 101\n{DAG}", "a whole number from 0 to 100 is needed"),
    (f"models:\n  m: {{}}\n{DAG}", "models.m: exactly one of url, model and function is needed, it has none"),
    (f"models: {{m: {{url: u, model: v}}}}\n{DAG}", "it has url and model"),
    (f"models: {{m: {{url: 3}}}}\n{DAG}", "models.m.url: a text is needed (w.yaml, line 1)."),
    (f"models: {{m: {{url: ' '}}}}\n{DAG}", "models.m.url: a text is needed"),
    (f"models: {{m: {{model: a/}}}}\n{DAG}", "models.m.model: NAME or NAME/VERSION is needed"),
    (f"models: {{m: {{model: a/b/c}}}}\n{DAG}", "models.m.model: NAME or NAME/VERSION is needed"),
    (f"models: {{m: {{function: os.system}}}}\n{DAG}", "models.m.function: the name of a function is needed"),
    (f"models: {{m: {{url: u, items: all}}}}\n{TWO}", "models.m.items: split or join is needed"),
    (
        f"models: {{m: {{url: u, items: split}}}}\n{DAG}",
        "models.m.items: exactly one parent is needed, there are 0",
    ),
    (
        f"models: {{m: {{url: u, items: join}}}}\n{TWO}",
        "models.m.items: join needs a parent with items: split",
    ),
    (
        "models: {m: {url: u, items: split}}\ndag: {a: [m], m: [b]}",
        "models.b.items: split or join is needed after m",
    ),
    (f"models: {{m: {{url: u, when: {{a: 1}}}}}}\n{DAG}", "models.m.when: the start node has no parent"),
    (f"models: {{m: {{url: u, when: 3}}}}\n{TWO}", "models.m.when: a mapping of keys to values is needed"),
    (
        f"models: {{m: {{url: u, when: {{a: {{b: 1}}}}}}}}\n{TWO}",
        "models.m.when: a: a value, or a list of values",
    ),
    (f"models: {{m: {{url: u, when: {{a: []}}}}}}\n{TWO}", "models.m.when: a: a value, or a list of values"),
    (
        f"models: {{m: {{url: u, when: {{a: .nan}}}}}}\n{TWO}",
        "models.m.when: a: a value, or a list of values",
    ),
    (f"models: {{m: {{url: u, when: {{a..b: 1}}}}}}\n{TWO}", "models.m.when: a..b: a key is empty"),
    (f"models: {{m: {{url: u, items: split, when: {{a: 1}}}}}}\n{TWO}", "it cannot stand beside items"),
    (
        "models: {m: {url: u, when: {x: 1}}}\ndag: {a: [b, m], b: [m]}",
        "models.m.when: x: it must begin with one of the parents, a, b",
    ),
    (f"version: 1.5\nmodels: {{}}\n{DAG}", "version: a text of"),
    (f"version: a/b\nmodels: {{}}\n{DAG}", "version: a text of"),
    ("models: {\ndag", "Failed to parse yaml. w.yaml: "),
    ("models: !!python/name:os.system\ndag: {}", "Failed to parse yaml. w.yaml: "),
    ("models: &a {m: *a}\ndag: {m: []}", "Failed to parse yaml. w.yaml: it contains itself."),
]


def read(text: str) -> WorkflowSpec:
    """Return what a text says."""
    return read_workflow_spec(text, "w.yaml")[0]


class WorkflowSpecTests(TestCase):
    """Reading one specification."""

    def test_what_is_wrong_is_said_with_its_key_and_line(self) -> None:
        for text, message in REFUSED:
            with self.subTest(text), self.assertRaises(WorkflowInvalid) as caught:
                read(text)
            self.assertIn(message, str(caught.exception))

    def test_a_graph_that_cannot_run_is_said_with_its_line(self) -> None:
        for text, message in (
            ("models: {}\ndag: {}", "DAG should have only one start node (there is none; w.yaml, line 2)"),
            (
                "models: {}\ndag:\n  a: [c]\n  b: [c]",
                "DAG should have only one start node (there are 2: a, b; w.yaml, line 4)",
            ),
            ("models: {}\ndag:\n  a: [a]", "Self loop exception (a follows itself; w.yaml, line 3)"),
            ("models: {}\ndag:\n  a: [b, b]", "loop exception (b follows a 2 times; w.yaml, line 3)"),
        ):
            with self.subTest(text), self.assertRaises(GraphInvalid) as caught:
                read(text)
            self.assertEqual(message, str(caught.exception))

    def test_settings_hold_for_the_models_below_them(self) -> None:
        spec = read(SEQUENTIAL)
        common = NodeSettings(1, 2, 4, 0.1, 5, 300.0)
        self.assertEqual(common, spec.defaults)
        self.assertEqual(Node("m1", NodeSettings(1, 2, 4, 0.1, 5, 0.25), url="model1.mar"), spec.nodes["m1"])
        self.assertEqual(Node("m2", common, url="model2.mar"), spec.nodes["m2"])
        self.assertEqual(("pre_processing", "m1", "m2"), spec.graph.order)
        late = read("models: {m: {url: u}, batch-size: 8}\ndag: {m: []}")
        self.assertEqual(NodeSettings(), late.nodes["m"].settings)
        self.assertEqual(8, late.defaults.batch_size)

    def test_a_node_that_no_model_is_listed_for_is_a_function(self) -> None:
        node = read(SEQUENTIAL).nodes["pre_processing"]
        self.assertEqual(
            Node(
                "pre_processing",
                NodeSettings(max_batch_delay=0.0, retry_attempts=5, timeout=300.0),
                function="pre_processing",
            ),
            node,
        )
        named = read("models: {m: {function: f, max-workers: 3}}\ndag: {m: []}").nodes["m"]
        self.assertEqual(("f", 3, 1), (named.function, named.settings.max_workers, named.settings.batch_size))

    def test_the_last_of_two_equal_keys_counts(self) -> None:
        self.assertEqual(("a", "c"), read("models: {}\ndag: {a: [b], a: [c]}").graph.order)

    def test_a_model_may_be_one_that_is_served_already(self) -> None:
        text = "models: {m: {model: m/2}, n: {model: n}}\ndag: {m: [n]}"
        nodes = read(text).nodes
        self.assertEqual(NodeModel("m", "2"), nodes["m"].model)
        self.assertEqual(NodeModel("n"), nodes["n"].model)

    def test_conditions_name_keys_and_values(self) -> None:
        text = "models: {m: {url: u, when: {label.name: [cat, dog], sure: true}}}\ndag: {a: [m]}"
        self.assertEqual(
            (Condition(("label", "name"), ("cat", "dog")), Condition(("sure",), (True,))),
            read(text).nodes["m"].conditions,
        )

    def test_conditions_on_several_parents_name_one(self) -> None:
        text = (
            "models: {a: {url: u}, a.b: {url: u}, m: {url: u, when: {a.b.c: 1}}}\n"
            "dag: {a: [a.b, m], a.b: [m]}"
        )
        self.assertEqual((Condition(("a.b", "c"), (1,)),), read(text).nodes["m"].conditions)

    def test_items_are_split_and_joined(self) -> None:
        text = (
            "models: {b: {url: u, items: split}, c: {url: v, items: split}, d: {function: d, items: join}}\n"
            "dag: {a: [b], b: [c], c: [d]}"
        )
        items = [node.items for node in read(text).nodes.values()]
        self.assertEqual([Items.WHOLE, Items.SPLIT, Items.SPLIT, Items.JOIN], items)

    def test_versions_are_texts(self) -> None:
        self.assertIsNone(read(f"models: {{}}\n{DAG}").version)
        for text, version in (("2", "2"), ("'1.10'", "1.10"), ("v2", "v2")):
            self.assertEqual(version, read(f"version: {text}\nmodels: {{}}\n{DAG}").version)

    def test_what_is_ignored_is_told(self) -> None:
        text = (
            "owner: me\nmodels:\n  m:\n    url: u\n    batchsize: 3\n    min-workers: 2\n"
            "  n: {}\n  r:\n    model: x\n    batch-size: 2\ndag: {m: [r]}\n"
        )
        _, problems = read_workflow_spec(text, "w.yaml")
        self.assertEqual(
            (
                "owner is ignored: no key has this name (w.yaml, line 1).",
                "models.m.batchsize is ignored: no key has this name (w.yaml, line 5).",
                "models.m.min-workers is ignored: max-workers is 1 (w.yaml, line 6).",
                "models.r.batch-size is ignored: the model has its own (w.yaml, line 10).",
                "models.n is ignored: it is not in the dag (w.yaml, line 7).",
            ),
            problems,
        )

    def test_limits(self) -> None:
        aliases = "a: &a [1, 1, 1, 1]\nb: &b [*a, *a, *a]\nmodels: {m: {url: u, when: *b}}\ndag: {m: []}"
        deep = "models: " + "{m: " * 70 + "1" + "}" * 70 + "\ndag: {m: []}"
        chain = "models: {}\ndag: {a: [b], b: [c]}"
        for text, limits, message in (
            (aliases, SpecLimits(values=40), "too many values once its aliases are written out"),
            (deep, SpecLimits(), "nested too deeply"),
            (chain, SpecLimits(nodes=2), "at most 2 nodes"),
            (chain, SpecLimits(edges=1), "and 1 edges"),
        ):
            with self.subTest(message), self.assertRaisesRegex(ServingError, message):
                read_workflow_spec(text, "w.yaml", limits)

    def test_ten_thousand_nodes_are_too_many(self) -> None:
        dag = "".join(f"  n{number}: [n{number + 1}]\n" for number in range(10_000))
        with self.assertRaisesRegex(ServingError, "DAG is too large: at most 256 nodes"):
            read(f"models: {{}}\ndag:\n{dag}")
