"""``modelserver workflows``: what it sends, and what it prints."""

from __future__ import annotations

import json

from tests.harness.control_case import ControlCase

WORKFLOW = {
    "workflowName": "w",
    "workflowUrl": "w.war",
    "workflowDag": "{pre=[c]}",
    "workflowVersion": "2",
    "defaultVersion": True,
    "nodes": [
        {"name": "pre", "modelName": "w__pre", "modelVersion": "2", "function": "pre", "retryAttempts": 1,
         "timeoutMs": 10000},
        {"name": "c", "modelName": "w__c", "modelVersion": "2", "url": "c.mar", "retryAttempts": 0,
         "timeoutMs": 250},
    ],
}  # fmt: skip


class WorkflowCommandTests(ControlCase):
    """Each action sends one request, or one for each page and workflow."""

    def test_list(self) -> None:
        row = {"workflowName": "w", "workflowUrl": "w.war"}
        self.answer("GET", "/workflows?limit=100&next_page_token=0", {"workflows": [row]})
        self.answer("GET", "/workflows/w", [WORKFLOW])
        status, out, _ = self.run_words("workflows", "list")
        self.assertEqual(0, status)
        for word in ("w.war", "{pre=[c]}"):
            self.assertIn(word, out)
        _, out, _ = self.run_words("workflows", "list", "--json")
        self.assertEqual([WORKFLOW], json.loads(out))

    def test_describe(self) -> None:
        self.answer("GET", "/workflows/w", [WORKFLOW])
        self.answer("GET", "/workflows/w/all", [WORKFLOW, WORKFLOW])
        status, out, _ = self.run_words("workflows", "describe", "w")
        self.assertEqual(0, status)
        for word in ("w__pre", "function pre", "c.mar", "250"):
            self.assertIn(word, out)
        _, out, _ = self.run_words("workflows", "describe", "w", "all", "--json")
        self.assertEqual(2, len(json.loads(out)))

    def test_register(self) -> None:
        query = "url=w.war&workflow_name=v&startup_timeout=9"
        self.answer("POST", f"/workflows?{query}", {"status": "Workflow v has been registered."})
        status, out, _ = self.run_words(
            "workflows", "register", "w.war", "--name", "v", "--startup-timeout", "9"
        )
        self.assertEqual((0, "Workflow v has been registered.\n"), (status, out))

    def test_a_refusal_is_told(self) -> None:
        refusal = {"code": 409, "type": "X", "message": "Workflow w is already registered."}
        self.answer("POST", "/workflows?url=w.war", refusal, 409)
        status, _, err = self.run_words("workflows", "register", "w.war")
        self.assertEqual(1, status)
        self.assertIn("Workflow w is already registered. (409)", err)

    def test_unregister_and_set_default(self) -> None:
        self.answer("DELETE", "/workflows/w", {"status": "gone"})
        self.answer("DELETE", "/workflows/w/1", {"status": "one is gone"})
        self.answer("PUT", "/workflows/w/2/set-default", {"status": "set"})
        for words, told in (
            (("unregister", "w"), "gone"),
            (("unregister", "w", "--version", "1"), "one is gone"),
            (("set-default", "w", "2"), "set"),
        ):
            self.assertEqual((0, f"{told}\n"), self.run_words("workflows", *words)[:2])
