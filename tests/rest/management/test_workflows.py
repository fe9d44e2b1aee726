"""Workflows over HTTP: codes and texts, as a running TorchServe 0.12.0 was seen to give them."""

from __future__ import annotations

import json
from shutil import make_archive
from zipfile import ZipFile

from modelserver.archive.workflow_spec import SpecLimits
from modelserver.rest.route import WORKFLOW_CONTROL
from tests.harness.management import LOAD_FAILURE
from tests.harness.management_api import ApiCase, Got
from tests.harness.workflows import SEQUENTIAL, WorkflowStage, write_workflow

NOT_FOUND = "WorkflowNotFoundException"
REGISTERED = "Workflow w has been registered and scaled successfully."

# url, code, type, message
URLS = [
    ("", 404, NOT_FOUND, "Workflow not found at: "),
    ("absent.war", 404, NOT_FOUND, "Workflow not found in workflow store: absent.war"),
    ("absent", 404, NOT_FOUND, "Workflow not found in workflow store: absent"),
    ("../w.war", 404, NOT_FOUND, "Relative path is not allowed in url: ../w.war"),
    ("folder", 404, NOT_FOUND, "Workflow not found at: folder"),
    ("ftp://h/w.war", 404, NOT_FOUND, "Workflow not found in workflow store: ftp://h/w.war"),
    ("s3://h/w.war", 404, NOT_FOUND, "Workflow not found in workflow store: s3://h/w.war"),
    (
        "http://localhost/w.war",
        404,
        NOT_FOUND,
        "Given URL http://localhost/w.war does not match any allowed URL(s)",
    ),
    (
        "http://models.example/w.war",
        400,
        "DownloadArchiveException",
        "Failed to download archive from: http://models.example/w.war",
    ),
]

INVALID = "InvalidWorkflowException"
# specification, type, what the message has
SPECIFICATIONS = [
    ("", INVALID, "is not a mapping with the keys models and dag."),
    ("dag: {a: []}", INVALID, "w.yaml has no key models."),
    ("models: {}", INVALID, "w.yaml has no key dag."),
    ("models: {}\ndag:\n  a:", INVALID, "dag.a: a list of nodes is needed (w.yaml, line 3)."),
    ("models: {c: noop.mar}\ndag: {c: []}", INVALID, "models.c: a mapping"),
    ("models:\n  batch-size: x\ndag: {c: []}", INVALID, "models.batch-size: a whole number"),
    ("models: {c: {}}\ndag: {c: []}", INVALID, "models.c: exactly one of url, model and function"),
    ("models: [", INVALID, "Failed to parse yaml."),
    ("models: {}\ndag: {}", "InvalidDAGException", "DAG should have only one start node"),
    ("models: {}\ndag: {a: [b], b: [a]}", "InvalidDAGException", "DAG should have only one start node"),
    ("models: {}\ndag: {a: [c], b: [c]}", "InvalidDAGException", "DAG should have only one start node"),
    ("models: {}\ndag: {a: [a]}", "InvalidDAGException", "Self loop exception"),
    ("models: {}\ndag: {a: [b, b]}", "InvalidDAGException", "loop exception"),
    ("models: {}\ndag: {a: [b], b: [c], c: [b]}", "InvalidDAGException", "Not a valid DAG"),
    ("models: {}\ndag: {a: [b], b: [c], c: [d], d: [e]}", "InvalidDAGException", "at most 4 nodes"),
    (
        f"models: &a {{m: {{url: u}}}}\nx: [{', '.join(['*a'] * 25)}]\ndag: {{m: []}}",
        INVALID,
        "too many values",
    ),
    ("models: " + "[" * 70 + "]" * 70 + "\ndag: {m: []}", INVALID, "nested too deeply"),
]


class WorkflowApiCase(ApiCase):
    """One workflow in the store."""

    def setUp(self) -> None:
        super().setUp()
        write_workflow(self.on.store / "w.war")

    def post(self, query: str = "?url=w.war", **more: object) -> Got:
        begun = self.begin("POST", f"/workflows{query}", **more)
        for _ in range(4):
            self.on.load_all()
        return self.finish(begun)


class RegisterTests(WorkflowApiCase):
    """``POST /workflows``."""

    def test_a_registration_waits_for_its_workers(self) -> None:
        begun = self.begin("POST", "/workflows?url=w.war&synchronous=false")
        self.assertNoResult(begun)
        self.on.load_all()
        self.assertEqual((200, REGISTERED), self.finish(begun).status)

    def test_parameters_may_be_json(self) -> None:
        body = json.dumps({"url": "w.war", "workflow_name": "v", "response_timeout": 5}).encode()
        got = self.post("", data=body, headers={b"content-type": b"application/json"})
        self.assertEqual((200, "Workflow v has been registered and scaled successfully."), got.status)
        self.assertEqual(5.0, self.on.registry.get("v__c").spec.timeouts.response)

    def test_an_empty_name_means_that_of_the_archive(self) -> None:
        self.assertEqual((200, REGISTERED), self.post("?url=w.war&workflow_name=").status)

    def test_folders_before_a_name_are_dropped(self) -> None:
        self.assertEqual((200, REGISTERED), self.post("?url=sub/w.war").status)

    def test_it_works_without_the_model_api(self) -> None:
        self.serve(features=(WORKFLOW_CONTROL,))
        self.assertEqual((200, REGISTERED), self.post().status)

    def test_it_has_a_switch_of_its_own(self) -> None:
        self.post()
        self.serve(features=())
        self.assertEqual(405, self.post().code)
        self.assertEqual(405, self.call("DELETE", "/workflows/w").code)
        self.assertEqual(200, self.call("GET", "/workflows/w").code)

    def test_the_management_key_is_asked_for(self) -> None:
        self.call("GET", "/workflows")
        self.assertEqual(["management"], [kind for kind, _ in self.gate.asked])

    def test_a_name_is_taken(self) -> None:
        self.post()
        self.assertEqual(
            (409, "ConflictStatusException", "Workflow w is already registered."), self.post().error
        )

    def test_what_is_not_found_is_told(self) -> None:
        self.on.add_model("folder")
        for url, code, kind, message in URLS:
            with self.subTest(url):
                self.assertEqual((code, kind, message), self.post(f"?url={url}").error)
        self.assert_nothing_is_left()

    def test_without_a_url(self) -> None:
        self.assertEqual((400, "BadRequestException", "Parameter url is required."), self.post("").error)

    def test_a_body_that_is_no_json(self) -> None:
        got = self.post("", data=b"{", headers={b"content-type": b"application/json"})
        self.assertEqual((400, "BadRequestException"), got.error[:2])

    def test_an_archive_may_be_a_tar_with_one_folder(self) -> None:
        with ZipFile(self.on.store / "w.war") as archive:
            archive.extractall(self.on.folder / "tar" / "w")
        make_archive(str(self.on.store / "w"), "gztar", self.on.folder / "tar")
        self.assertEqual((200, REGISTERED), self.post("?url=w.tar.gz").status)
        self.assertEqual("w.tar.gz", self.call("GET", "/workflows/w").body[0]["workflowUrl"])

    def test_specifications_that_are_wrong_leave_nothing(self) -> None:
        self.workflows = WorkflowStage(self.on, SpecLimits(values=100, nodes=4))
        self.serve()
        for spec, kind, message in SPECIFICATIONS:
            with self.subTest(spec):
                write_workflow(self.on.store / "x.war", spec)
                got = self.post("?url=x.war")
                self.assertEqual((400, kind), got.error[:2])
                self.assertIn(message, got.error[2])
        self.assert_nothing_is_left()

    def test_archives_that_are_none_leave_nothing(self) -> None:
        (self.on.store / "text.war").write_text("no zip")
        with ZipFile(self.on.store / "empty.war", "w"):
            pass
        with ZipFile(self.on.store / "outside.war", "w") as archive:
            archive.writestr("../outside", "")
        for url, message in (
            ("text.war", "neither a zip nor a gzip-compressed tar"),
            ("empty.war", "Workflow name is not defined."),
            ("outside.war", "leaves the target"),
        ):
            with self.subTest(url):
                got = self.post(f"?url={url}")
                self.assertEqual((400, INVALID), got.error[:2])
                self.assertIn(message, got.error[2])
        self.assert_nothing_is_left()

    def test_a_name_that_cannot_be_served_is_refused(self) -> None:
        write_workflow(self.on.store / "x.war", name="a/b")
        self.assertEqual((400, INVALID), self.post("?url=x.war").error[:2])
        self.assertEqual((400, "BadRequestException"), self.post("?url=w.war&workflow_name=a/b").error[:2])
        self.assertEqual((400, INVALID), self.post(f"?url=w.war&workflow_name={'n' * 254}").error[:2])
        self.assert_nothing_is_left()

    def test_a_node_that_fails_is_named_with_its_cause(self) -> None:
        write_workflow(self.on.store / "x.war", "models: {c: {url: absent.mar}}\ndag: {c: []}\n")
        got = self.post("?url=x.war")
        self.assertEqual(
            (
                500,
                "WorkflowException",
                "Workflow w has failed to register. Failures: [Workflow Node w__c failed to register. "
                "Details: Model not found at: absent.mar]",
            ),
            got.error,
        )
        self.assertEqual("c", got.body["node"])
        self.assert_nothing_is_left()

    def test_a_worker_that_cannot_start_is_told_with_its_failure(self) -> None:
        begun = self.begin("POST", "/workflows?url=w.war")
        self.on.stage.turn()
        failing = next(each for each in self.workers if each.spec.version.name == "w__pre")
        failing.exit(LOAD_FAILURE)
        self.on.load_all()
        got = self.finish(begun)
        self.assertEqual(
            "Workflow w has failed to register. "
            "Failures: [Failed to start workers for model w__pre version: 1.0]",
            got.error[2],
        )
        self.assertEqual(("pre", "ImportError"), (got.body["node"], got.body["exception"]))
        self.assert_nothing_is_left()

    def assert_nothing_is_left(self) -> None:
        self.assertEqual(([], []), (self.workflows.registry.names(), self.on.registry.names()))
        self.assertEqual(([], []), (self.on.left_on_disk(), self.workers))


class DescribeTests(WorkflowApiCase):
    """``GET /workflows`` and what is below it."""

    def test_a_description_is_an_array_of_one(self) -> None:
        spec = "models: {max-batch-delay: 100, c: {url: noop.mar}}\ndag: {pre: [a, c], a: [show], c: [show]}"
        functions = "def pre(data, context): return data\na = show = pre\n"
        write_workflow(self.on.store / "w.war", spec, functions=functions)
        self.post()
        (described,) = self.call("GET", "/workflows/w").body
        nodes = described.pop("nodes")
        self.assertEqual(
            {
                "workflowName": "w",
                "workflowUrl": "w.war",
                "minWorkers": 1,
                "maxWorkers": 1,
                "batchSize": 1,
                "maxBatchDelay": 100,
                "workflowDag": "{pre=[a, c], a=[show], c=[show]}",
            },
            described,
        )
        self.assertEqual(["pre", "a", "c", "show"], [node["name"] for node in nodes])
        self.assertEqual(
            {
                "name": "c",
                "modelName": "w__c",
                "modelVersion": "1.0",
                "url": "noop.mar",
                "retryAttempts": 1,
                "timeoutMs": 10000,
            },
            nodes[2],
        )
        self.assertEqual("show", nodes[3]["function"])

    def test_the_graph_is_shown_as_it_is_written(self) -> None:
        for dag, shown in (
            ("{pre: []}", "{pre=[]}"),
            ("{c: [post], pre: [c], post: ['']}", "{c=[post], pre=[c], post=[]}"),
            ("{pre: [c], c: [post]}", "{pre=[c], c=[post]}"),
        ):
            write_workflow(self.on.store / "x.war", f"models: {{}}\ndag: {dag}\n", name="x")
            self.post("?url=x.war")
            self.assertEqual(shown, self.call("GET", "/workflows/x").body[0]["workflowDag"])
            self.call("DELETE", "/workflows/x")

    def test_further_segments(self) -> None:
        self.post()
        self.assertEqual(
            self.call("GET", "/workflows/w").body, self.call("GET", "/workflows/w/whatever").body
        )
        self.assertEqual(404, self.call("GET", "/workflows/w/a/b").code)
        self.assertEqual(200, self.call("GET", "/workflows/").code)
        self.assertEqual(404, self.call("GET", "/Workflows").code)

    def test_what_nobody_knows(self) -> None:
        for method in ("GET", "DELETE"):
            for path in ("/workflows/x", "/workflows/x/1"):
                got = self.call(method, path)
                self.assertEqual((404, NOT_FOUND, "Workflow not found: x"), got.error)

    def test_other_methods_are_not_allowed(self) -> None:
        for method in ("PUT", "PATCH", "DELETE"):
            self.assertEqual(405, self.call(method, "/workflows").code, method)
        for method in ("PUT", "PATCH", "POST"):
            self.assertEqual(405, self.call(method, "/workflows/w").code, method)

    def test_pages(self) -> None:
        for name in ("a", "b", "c"):
            self.post(f"?url=w.war&workflow_name={name}")
        rows = [{"workflowName": name, "workflowUrl": "w.war"} for name in ("a", "b", "c")]
        for query, found, token in (
            ("", rows, None),
            ("?limit=2", rows[:2], "2"),
            ("?limit=2&next_page_token=2", rows[2:], None),
            ("?limit=0", [], None),
            ("?limit=-1", rows, None),
            ("?limit=x", rows, None),
            ("?next_page_token=-3", rows, None),
        ):
            with self.subTest(query):
                body = self.call("GET", f"/workflows{query}").body
                self.assertEqual((found, token), (body["workflows"], body.get("nextPageToken")))

    def test_node_models_are_models(self) -> None:
        self.post()
        self.assertEqual(
            [{"modelName": "w__c", "modelUrl": "noop.mar"}], self.call("GET", "/models").body["models"]
        )
        (function,) = self.call("GET", "/models/w__pre").body
        self.assertNotIn("modelUrl", function)
        self.assertEqual(
            ("1.0", 1, 0), tuple(function[key] for key in ("modelVersion", "batchSize", "maxBatchDelay"))
        )
        self.assertEqual(200, self.call("PUT", "/models/w__c?min_worker=2&synchronous=true").code)
        (model,) = self.call("GET", "/models/w__c").body
        self.assertEqual((2, 2), (model["minWorkers"], len(model["workers"])))
        self.assertEqual(1, self.call("GET", "/workflows/w").body[0]["maxWorkers"])


class UnregisterTests(WorkflowApiCase):
    """``DELETE /workflows/{w}``."""

    def test_a_workflow_goes_with_its_node_models(self) -> None:
        self.post()
        self.assertEqual((200, 'Workflow "w" unregistered'), self.call("DELETE", "/workflows/w").status)
        self.assertEqual(404, self.call("DELETE", "/workflows/w").code)
        self.assertEqual([], self.on.registry.names())
        self.assertEqual((200, REGISTERED), self.post().status)

    def test_a_node_model_cannot_go_alone(self) -> None:
        self.post()
        self.assertEqual(
            (
                409,
                "ConflictStatusException",
                "Model w__c version 1.0 is a node of workflow w; unregister that first.",
            ),
            self.call("DELETE", "/models/w__c").error,
        )
        self.assertEqual(200, self.call("DELETE", "/workflows/w").code)


class VersionTests(WorkflowApiCase):
    """Workflows that say their version."""

    def setUp(self) -> None:
        super().setUp()
        for version in ("1", "2"):
            write_workflow(self.on.store / f"w{version}.war", f"version: {version}\n{SEQUENTIAL}")
            self.assertEqual((200, REGISTERED), self.post(f"?url=w{version}.war").status)

    def versions(self, path: str) -> list[tuple[str, bool]]:
        return [(each["workflowVersion"], each["defaultVersion"]) for each in self.call("GET", path).body]

    def test_versions_are_described(self) -> None:
        self.assertEqual([("1", True)], self.versions("/workflows/w"))
        self.assertEqual([("2", False)], self.versions("/workflows/w/2"))
        self.assertEqual([("1", True), ("2", False)], self.versions("/workflows/w/all"))
        self.assertEqual(
            (404, NOT_FOUND, "Workflow version: 3 does not exist for workflow: w"),
            self.call("GET", "/workflows/w/3").error,
        )

    def test_the_default_is_chosen(self) -> None:
        self.assertEqual(
            (200, 'Default version successfully updated for workflow "w" to "2"'),
            self.call("PUT", "/workflows/w/2/set-default").status,
        )
        self.assertEqual([("2", True)], self.versions("/workflows/w"))
        self.assertEqual(404, self.call("PUT", "/workflows/w/3/set-default").code)

    def test_the_default_cannot_go_while_others_exist(self) -> None:
        self.assertEqual(
            (403, "InvalidWorkflowVersionException", "Cannot remove default version for workflow w"),
            self.call("DELETE", "/workflows/w").error,
        )
        self.assertEqual(200, self.call("DELETE", "/workflows/w/2").code)
        self.assertEqual(200, self.call("DELETE", "/workflows/w/1").code)


class MultiModelServerTests(ApiCase):
    """MMS has no workflows."""

    dialect = "mms"

    def test_there_is_no_such_route(self) -> None:
        self.assertEqual(404, self.call("GET", "/workflows").code)
