"""The list of public handlers, and how their files are taken out of repositories."""

from __future__ import annotations

import re
import subprocess
from collections import Counter

from attrs import evolve

from tests.corpus.fetching import NotFetched, fetch
from tests.corpus.public_handler import is_close
from tests.corpus.public_handlers import HANDLERS
from tests.harness.folder import FolderCase

PEERS = ("pytorch/serve", "awslabs/multi-model-server")


class ListTests(FolderCase):
    """What the list says."""

    def test_there_are_enough_and_most_are_not_the_peers_own(self) -> None:
        self.assertGreaterEqual(len(HANDLERS), 20)
        self.assertGreaterEqual(sum(each.repository not in PEERS for each in HANDLERS), 12)

    def test_each_has_a_name_and_a_place_of_its_own(self) -> None:
        for names in (
            [each.name for each in HANDLERS],
            [(each.repository, each.handler) for each in HANDLERS],
        ):
            self.assertEqual([], [name for name, count in Counter(names).items() if count > 1])
        for each in HANDLERS:
            with self.subTest(each.name):
                self.assertRegex(each.repository, r"^[\w.-]+/[\w.-]+$")
                self.assertTrue(re.fullmatch("[0-9a-f]{40}", each.commit))
                self.assertTrue(all(path.endswith(".py") for path in each.files))

    def test_answers_are_compared_but_for_rounding(self) -> None:
        self.assertTrue(is_close({"a": [1.00001, "b"]}, {"a": [1.0, "b"]}))
        for other in ({"a": [1.01, "b"]}, {"a": [1.0]}, {"b": [1.0, "b"]}, [1.0, "b"], {"a": [1.0, "c"]}):
            self.assertFalse(is_close(other, {"a": [1.0, "b"]}), other)


class FetchTests(FolderCase):
    """A repository that is made here."""

    def setUp(self) -> None:
        super().setUp()
        self.repository = self.folder / "mirrors" / "a+b" / "repo"
        (self.repository / "src").mkdir(parents=True)
        (self.repository / "src" / "handler.py").write_text("first")
        (self.repository / "model.py").write_text("model")
        self.git("init", "-q")
        self.git("add", ".")
        self.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "one")
        commit = self.git("rev-parse", "HEAD").strip()
        self.wanted = evolve(
            HANDLERS[0], repository="a/b", commit=commit, handler="src/handler.py:handle", beside=["model.py"]
        )
        self.out = self.folder / "out"
        self.out.mkdir()

    def git(self, *words: str) -> str:
        """Run git in the repository."""
        return subprocess.run(
            ["git", "-C", str(self.repository), *words], check=True, capture_output=True, text=True
        ).stdout

    def test_files_of_the_commit_lie_side_by_side(self) -> None:
        (self.repository / "src" / "handler.py").write_text("second")
        files = fetch(self.wanted, [self.folder / "mirrors"], self.out)
        self.assertEqual(["handler.py", "model.py"], [file.name for file in files])
        self.assertEqual(["first", "model"], [file.read_text() for file in files])

    def test_what_is_absent_is_told(self) -> None:
        with self.assertRaisesRegex(NotFetched, "git clone --bare https://github.com/a/b"):
            fetch(self.wanted, [self.folder / "nowhere"], self.out)
        with self.assertRaisesRegex(NotFetched, "other.py at"):
            fetch(evolve(self.wanted, handler="other.py"), [self.folder / "mirrors"], self.out)
