"""The dashboard in a real browser when things go wrong around it, and with input that nobody expects."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from shutil import copy
from unittest import skipIf

import pytest
from attrs import define

from tests.harness.browser import browser, complaints
from tests.harness.dashboard_models import ECHO
from tests.harness.server_process import HOST, ServerTests, free_ports
from tests.integration.test_dashboard_browser import LACK, OPEN, Page

pytestmark = pytest.mark.slow

LONG_NAME = "m" * 200


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@define
class FixedPage(Page):
    """The page of a server that keeps its address when it is started again."""

    port: int = 0


@skipIf(LACK is not None, f"no browser: {LACK}")
class DisturbedTests(ServerTests):
    """A page that stays open."""

    @contextmanager
    def page(self, **properties: str) -> Iterator[FixedPage]:
        (port,) = free_ports(1)
        address = {"management_address": f"http://{HOST}:{port}"}
        server = self.start({**OPEN, **address, **properties}, models={"echo": ECHO})
        server.ports[1] = port
        with browser() as driver:
            yield FixedPage(driver, server, port)

    def restart(self, page: FixedPage) -> None:
        """Have the server end, and another one take its address."""
        page.server.terminate()
        page.see("#connection", "asking again")
        page.server.start()
        page.server.ports[1] = page.port

    def test_goes_on_with_a_server_that_was_started_again(self) -> None:
        with self.page() as page:
            self.assert_ok(page.server.register("echo.mar"))
            page.load_whole()
            page.open_version("echo")
            self.restart(page)
            page.see("#connection", "Live")
            page.see("#version-body", "not registered any more")
            self.assert_ok(page.server.register("echo.mar"))
            page.press("Try a prediction", "#version")
            page.fill("#input-text", "there again")
            page.press("Send", "#action")
            page.see("#action-answer", "there again")
            # The console tells of connections that could not be made; nothing else.
            for message in complaints(page.driver):
                self.assertIn("net::ERR_", message)

    def test_asks_for_the_token_of_a_server_that_was_started_again(self) -> None:
        with self.page(disable_token_authorization="false") as page:
            page.load()
            self.log_in(page, page.server.keys()["management"]["key"])
            page.wait("return document.documentElement.dataset.complete")
            self.restart(page)
            page.wait("return !document.querySelector('#login').hidden")
            self.assertTrue(page.find("#board").get_property("hidden"))
            self.log_in(page, page.server.keys()["management"]["key"])
            page.see("#connection", "Live")

    def log_in(self, page: Page, token: str) -> None:
        """Give the page a token."""
        page.wait("return !document.querySelector('#login').hidden")
        page.fill("#token", token)
        page.press("Show the dashboard", "#login")

    def test_refuses_tokens_of_another_kind_and_what_is_none(self) -> None:
        with self.page(disable_token_authorization="false") as page:
            page.load()
            self.log_in(page, page.server.keys()["inference"]["key"])
            page.see("#login-message", "does not take this token")
            for token in ("no token at all", "schlüssel", "…"):
                self.log_in(page, token)
                page.see("#login-message", "This is no token")
            self.assertTrue(page.find("#board").get_property("hidden"))

    def test_says_that_it_hears_nothing_of_a_server_that_hangs(self) -> None:
        with self.page() as page:
            page.load_whole()
            page.server.process.send_signal(signal.SIGSTOP)
            self.addCleanup(page.server.process.send_signal, signal.SIGCONT)
            page.see("#connection", "Nothing heard")
            page.server.process.send_signal(signal.SIGCONT)
            page.see("#connection", "Live")

    def test_registers_from_a_url_and_tries_a_file(self) -> None:
        with self.page(allowed_urls="http://127.0.0.1.*") as page:
            folder = page.server.folder / "elsewhere"
            folder.mkdir()
            copy(page.server.store / "echo.mar", folder / "fetched.mar")
            files = partial(QuietFiles, directory=str(folder))
            web = ThreadingHTTPServer((HOST, 0), files)
            self.addCleanup(web.server_close)
            self.addCleanup(web.shutdown)
            threading.Thread(target=web.serve_forever, daemon=True).start()
            page.load_whole()
            page.press("Register a model", "header")
            page.fill("#url", f"http://{HOST}:{web.server_port}/fetched.mar")
            page.fill("#model-name", "fetched")
            page.press("Register", "#action")
            page.see("#action-progress", "registered")
            page.close("#action")
            page.open_version("fetched")
            page.press("Try a prediction", "#version")
            file = page.server.folder / "input.txt"
            file.write_text("<b>from a file</b>")
            page.find("#input-file").send_keys(str(file))
            page.press("Send", "#action")
            page.see("#action-progress", "Answered with 200")
            self.assertEqual("<b>from a file</b>", page.text("#action-answer pre"))
            self.assertEqual(complaints(page.driver), [])

    def test_a_long_name_widens_no_page(self) -> None:
        with self.page() as page:
            self.assert_ok(page.server.register("echo.mar", model_name=LONG_NAME))
            page.load_whole()
            for width in (1280, 360):
                size = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 400}
                page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                page.open_version(LONG_NAME)
                wide = "['html', '#version'].map((each) => document.querySelector(each).scrollWidth)"
                self.assertLessEqual(max(page.wait(f"return {wide}")), width)
                page.close("#version")
            self.assertEqual(complaints(page.driver), [])
