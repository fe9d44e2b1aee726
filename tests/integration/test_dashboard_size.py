"""The dashboard with 500 models: how much a browser loads, and that it shows them all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import TestCase, skipIf

from tests.harness.browser import browser, complaints, missing
from tests.harness.server_process import HOST, LONGEST, ROOT, eventually

LACK = missing()
MODELS = 500
LARGEST = 300_000
"""Bytes of the page with the state that it begins with."""
BODIES = """
return performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
    .map((entry) => [entry.name, entry.transferSize])
"""


@contextmanager
def server(models: int) -> Iterator[int]:
    """A process with so many models; its port."""
    program = [sys.executable, "-m", "tests.harness.dashboard_server", str(models)]
    with subprocess.Popen(
        program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None, "they are pipes"
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(LONGEST)


@skipIf(LACK is not None, f"no browser: {LACK}")
class SizeTests(TestCase):
    """One load of the page."""

    def test_500_models_are_shown_with_little_to_load(self) -> None:
        with server(MODELS) as port, browser() as driver:
            driver.get(f"http://{HOST}:{port}/dashboard")

            def run(script: str) -> Any:
                return driver.execute_script(script)

            spent = eventually(lambda: run("return document.documentElement.dataset.complete"))
            self.assertEqual(run("return document.querySelectorAll('#models tbody tr').length"), MODELS)
            self.assertIn("of 1,000", run("return document.querySelector('#tiles').textContent"))
            trouble = run("return document.querySelector('#trouble').textContent")
            self.assertIn("and 13 more versions", trouble)
            # A stream is no finished resource: the length of its first event counts.
            files = sum(size for _, size in run(BODIES) if size)
            state = driver.execute_async_script(
                "const done = arguments[0];"
                "fetch('/dashboard/stream').then(async (response) => {"
                "  const reader = response.body.getReader(); let size = 0; let text = '';"
                "  for (;;) { const { value } = await reader.read(); size += value.length;"
                "    text += new TextDecoder().decode(value); if (text.includes('\\n\\n')) break; }"
                "  reader.cancel(); done(size); });"
            )
            self.assertGreater(state, 50_000)
            self.assertLess(files + state, LARGEST)
            self.assertEqual(complaints(driver), [])
            print(f"{MODELS} models: complete after {spent} ms, {files} + {state} bytes")
