"""
Runs the command blocks of the documentation, page by page, as a reader would.

A comment before a block says what it is: ``<!-- run -->``; ``<!-- run: serve -->`` for one that goes on
until the page ends, and whose models are to be ready (``<!-- run: serve until TEXT -->``: which is to print a
text); ``<!-- file: NAME -->`` for the content of a file; ``<!-- output -->`` for what the block before it
prints, where ``...`` stands for anything; ``<!-- not run: REASON -->``. ``<!-- run if PROGRAM -->`` is left
out, with the output that follows it, where there is no such program.

``python -m tests.harness.document_blocks [PAGE ...]`` runs them, and fails where a block does. With
``--environment DIR`` they are run as they are written, to the last port, with what a virtual environment has
installed and nothing of this checkout.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

from modelserver.cli.client.http import Client
from modelserver.cli.local_server import HOST, Ports
from tests.harness.server_process import free_ports

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
BESIDE_DOCS = ("README.md", "CONTRIBUTING.md")
MADE = ("_build", "reference")
"""Folders of pages that are made when the site is built."""
PORTS = (8080, 8081, 8082, 7070, 7071, 8000, 9901)
LONGEST = 120.0
"""Seconds that a block may take."""


@frozen
class Block:
    """A block of code, with what the comment before it says."""

    mark: str
    language: str
    text: str

    @property
    def argument(self) -> str:
        """What follows the colon of the mark."""
        return self.mark.partition(":")[2].strip()


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for found in _BLOCK.finditer(page):
        yield Block(found["mark"] or "", found["language"], found["text"])


@define
class Reader:
    """
    Somebody who follows a page in a folder with nothing but ``etc``. Ports of the page are other ones
    here, which are free.

    :param folder: where everything happens.
    :param environment: a virtual environment whose commands are used, with the ports of the page; None: this
        interpreter's, with this checkout.
    """

    folder: Path
    environment: Path | None = None
    ran: int = field(default=0, init=False)
    missing: int = field(default=0, init=False)
    output: str | None = field(default="", init=False)
    _servers: list[subprocess.Popen[bytes]] = field(factory=list, init=False)
    _ports: tuple[int, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Pages name what the repository ships as from its root.
        shutil.copytree(CHECKOUT / "etc", self.folder / "etc")
        if self.environment is not None:
            self._ports = PORTS
            return
        inference, management, metrics, *rpc = free_ports(len(PORTS))
        self._ports = (inference, management, metrics, *rpc)
        http = Ports(inference, management, metrics).settings
        # Of a key that stands twice the last one counts.
        settings = f"{http}grpc_inference_port={rpc[0]}\ngrpc_management_port={rpc[1]}\n"
        (self.folder / ".ports.properties").write_text(settings, "utf-8")

    def follow(self, page: str) -> None:
        """
        Do what a page says.

        :raises AssertionError: a block fails, prints something else, or has no mark.
        """
        try:
            for block in blocks(page):
                self._do(block)
        finally:
            self.end()

    def end(self) -> None:
        """Stop what goes on."""
        for server in self._servers:
            if server.poll() is not None:
                continue
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    def _do(self, block: Block) -> None:
        kind = block.mark.partition(":")[0]
        if kind.startswith("run if "):
            program = kind.removeprefix("run if ")
            there = shutil.which(program, path=self._environment("")["PATH"])
            kind = "run" if there else "missing"
        if kind == "file":
            target = self.folder / block.argument
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._here(block.text), "utf-8")
        elif kind == "missing":
            self.missing += 1
            self.output = None
        elif kind == "output":
            self._compare(block.text)
        elif kind == "run" and block.argument.startswith("serve"):
            self._serve(block.text, block.argument.partition("until ")[2])
        elif kind == "run":
            self._run(block.text)
        elif block.language == "sh":
            assert kind == "not run" and block.argument, f"a block has no mark:\n{block.text}"

    def _run(self, text: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(text)],
            cwd=self.folder,
            env=self._environment(text),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        self.output = self._told(done.stdout)
        assert done.returncode == 0, f"status {done.returncode} of\n{text}\n{done.stdout}"
        self.ran += 1

    def _serve(self, text: str, sign: str) -> None:
        log = (self.folder / "server.out").open("wb")
        with log:
            server = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", self._here(text)],
                cwd=self.folder,
                env=self._environment(text),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        latest = time.monotonic() + LONGEST
        while not self._is_up(sign):
            told = (self.folder / "server.out").read_text("utf-8", "replace")
            assert server.poll() is None and time.monotonic() < latest, f"no server from\n{text}\n{told}"
            time.sleep(0.05)
        self.ran += 1

    def _is_up(self, sign: str) -> bool:
        if sign:
            return sign in (self.folder / "server.out").read_text("utf-8", "replace")
        try:
            return Client(HOST, self._ports[0], LONGEST).ask("GET", "/health/ready").status == 200
        except OSError:
            return False

    def _compare(self, wanted: str) -> None:
        if self.output is None:
            return  # it would be that of a program that is not here
        pattern = r".*?".join(re.escape(piece.strip()) for piece in wanted.split("..."))
        assert re.search(pattern, self.output, re.DOTALL), f"expected:\n{wanted}\nfound:\n{self.output}"

    def _here(self, text: str) -> str:
        for port, own in zip(PORTS, self._ports, strict=True):
            text = re.sub(rf"(?<=[:= ]){port}\b", str(own), text)
        return text

    def _told(self, text: str) -> str:
        """What was printed, as the page has it."""
        for port, own in zip(PORTS, self._ports, strict=True):
            text = re.sub(rf"(?<=[: ]){own}\b", str(port), text)
        return text

    def _environment(self, text: str) -> dict[str, str]:
        common = {"HOME": str(self.folder), "TMPDIR": str(self.folder), "LANG": "C.UTF-8"}
        if self.environment is not None:
            return {**common, "PATH": f"{self.environment.resolve()}/bin:{os.environ['PATH']}"}
        bin_folder = str(Path(sys.executable).parent)
        # A page that names a configuration says its ports there.
        ports = {} if "-config " in text else {"TS_CONFIG_FILE": str(self.folder / ".ports.properties")}
        path = f"{bin_folder}:{os.environ['PATH']}"
        return {**common, **ports, "PATH": path, "PYTHONPATH": str(CHECKOUT)}


def pages() -> Iterator[Path]:
    """The pages that people have written; every block of commands on them has a mark."""
    yield from (CHECKOUT / name for name in BESIDE_DOCS)
    for page in sorted(DOCS.rglob("*.md")):
        if page.relative_to(DOCS).parts[0] not in MADE:
            yield page


def main(words: Sequence[str] | None = None) -> int:
    """
    Follow pages, and tell how many blocks were run, and how long each page took.

    :returns: how many pages failed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.harness.document_blocks")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="a page, below docs; none: all")
    parser.add_argument("--environment", type=Path, metavar="DIR", help="a virtual environment to do it with")
    arguments = parser.parse_args(words)
    total = ran = failed = left_out = 0
    for page in [(DOCS / name).resolve() for name in arguments.pages] or pages():
        text = page.read_text("utf-8")
        commands = [block for block in blocks(text) if block.language == "sh"]
        if not commands:
            continue
        total += len(commands)
        left_out += sum(block.mark.startswith("not run") for block in commands)
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="modelserver-docs-") as folder:
            reader = Reader(Path(folder), arguments.environment)
            try:
                reader.follow(text)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"{page.relative_to(CHECKOUT)}: {error}")
            ran += reader.ran
            left_out += reader.missing
        took = time.monotonic() - begin
        print(f"{page.relative_to(CHECKOUT)}: {reader.ran} blocks run in {took:.1f} s", flush=True)
    print(f"blocks {total}, run {ran}, left out with a reason {left_out}, failed {failed}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
