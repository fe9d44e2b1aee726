"""Archives of workflows, and of their nodes, that come from the web."""

from __future__ import annotations

from shutil import make_archive, rmtree

from twisted.internet.defer import Deferred

from modelserver.errors import ArchiveExists, BadRequest, DownloadFailed
from modelserver.management.workflows.requests import WorkflowRequest
from modelserver.workflows.errors import WorkflowInvalid
from tests.harness.workflows import WorkflowCase, write_workflow

WORKFLOW_URL, MODEL_URL = "http://models.example/w.war", "http://models.example/noop.mar"
SPEC = f"models: {{c: {{url: '{MODEL_URL}'}}}}\ndag: {{c: []}}\n"


class DownloadTests(WorkflowCase):
    """A workflow and its model, both downloaded."""

    def setUp(self) -> None:
        super().setUp()
        web = self.on.folder / "web"
        web.mkdir()
        write_workflow(web / "w.war", SPEC)
        make_archive(str(web / "noop"), "zip", self.on.store / "noop.mar")
        rmtree(self.on.store / "noop.mar")
        self.web = {WORKFLOW_URL: web / "w.war", MODEL_URL: web / "noop.zip"}
        self.on.downloads.files.update(self.web)

    def in_store(self) -> list[str]:
        """The files of the store."""
        return sorted(path.name for path in self.on.store.iterdir())

    def test_downloads_go_with_the_workflow(self) -> None:
        self.register(WORKFLOW_URL)
        self.assertEqual(["noop.mar", "w.war"], self.in_store())
        self.successResultOf(self.unregister())
        self.assertEqual([], self.in_store())
        self.assert_nothing_is_left()

    def test_they_go_when_the_registration_fails(self) -> None:
        del self.on.downloads.files[MODEL_URL]
        self.failureResultOf(self.start(WORKFLOW_URL))
        self.assertEqual([], self.in_store())
        self.assert_nothing_is_left()

    def test_they_go_when_the_archive_is_none(self) -> None:
        self.web[WORKFLOW_URL].write_text("no zip")
        self.failureResultOf(self.start(WORKFLOW_URL), WorkflowInvalid)
        self.assertEqual([], self.in_store())
        self.assert_nothing_is_left()

    def test_what_the_store_has_from_elsewhere_stays(self) -> None:
        (self.on.store / "w.war").write_text("the operator's")
        self.failureResultOf(self.start(WORKFLOW_URL), ArchiveExists)
        self.assertEqual("the operator's", (self.on.store / "w.war").read_text())

    def test_a_download_that_fails_is_told(self) -> None:
        self.failureResultOf(self.start("http://models.example/absent.war"), DownloadFailed)

    def test_a_digest_is_compared_with_the_archive(self) -> None:
        self.failureResultOf(self.start(WORKFLOW_URL, sha256="x"), BadRequest)
        self.failureResultOf(self.start(WORKFLOW_URL, sha256="0" * 64), WorkflowInvalid)
        self.assertEqual([], self.in_store())

    def test_they_stay_for_the_next_server_and_are_taken_up_by_it(self) -> None:
        self.register(WORKFLOW_URL)
        for management in (self.on.management, self.stage.management):
            closed = Deferred.fromCoroutine(management.close(keeps_downloads=True))
            self.successResultOf(closed)
        self.assertEqual(["noop.mar", "w.war"], self.in_store())
        self.stage.registry.remove("w")
        request = WorkflowRequest(WORKFLOW_URL, start_up=True, synchronous=False, is_restored=True)
        restored = Deferred.fromCoroutine(self.stage.management.register(request))
        self.assertEqual("w", self.successResultOf(restored).name)
        self.successResultOf(self.unregister())
        self.assertEqual([], self.in_store())
