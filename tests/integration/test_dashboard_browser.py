"""The dashboard in a real browser: what people see, and what they can do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import skipIf

import pytest
from attrs import define

from tests.harness.browser import axe_script, browser, complaints, missing
from tests.harness.dashboard_models import ECHO, LOUD, MARKUP, PICTURE
from tests.harness.server_process import HOST, ServerProcess, ServerTests, eventually

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.slow

OPEN = {"disable_token_authorization": "true", "enable_model_api": "true", "max_recovery_window": "1"}
LACK = missing()
SCRIPT_NAME = "<script>document.title='run'<script>"
"""A name without a slash, for a model may not have one."""


@define
class Page:
    """The dashboard of a server in a browser, and short words for what people do there."""

    driver: WebDriver
    server: ServerProcess

    def load(self, behind: str = "") -> None:
        """Open it; ``behind``: the address's fragment."""
        self.driver.get(f"http://{HOST}:{self.server.ports[1]}/dashboard{behind}")

    def load_whole(self) -> int:
        """Open it, and wait until it shows the state; returns the milliseconds that the page took."""
        self.load()
        return int(self.wait("return document.documentElement.dataset.complete"))

    def wait(self, script: str) -> Any:
        """What a script returns, as soon as it is true."""
        return eventually(lambda: self.driver.execute_script(script))

    def find(self, selector: str) -> WebElement:
        """The first element."""
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """The text of the first element, as it is in the document."""
        return str(self.find(selector).get_property("textContent"))

    def see(self, selector: str, wanted: str) -> str:
        """The text of an element, as soon as it has a text in it."""
        return eventually(lambda: text if wanted in (text := self.text(selector)) else "")

    def press(self, name: str, inside: str = "body") -> None:
        """Press the button with a text, as soon as it is there."""

        def look() -> WebElement | None:
            buttons = self.find(inside).find_elements("css selector", "button")
            return next((each for each in buttons if each.text == name and each.is_enabled()), None)

        button = eventually(look)
        assert button is not None, "it was waited for"
        button.click()

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option, as soon as it is there."""
        eventually(lambda: self.find(selector).find_elements("css selector", f'option[value="{value}"]'))[
            0
        ].click()

    def close(self, dialog: str) -> None:
        """Close a dialog with its button."""
        self.press("Close", dialog)
        eventually(lambda: not self.find(dialog).get_property("open"))

    def open_version(self, name: str) -> None:
        """Open the dialog of a model from the table."""
        self.press(name, "#models")
        self.see("#version-title", name)


@skipIf(LACK is not None, f"no browser: {LACK}")
class DashboardTests(ServerTests):
    """One server, one page; in each test another story."""

    @contextmanager
    def page(self, models: Mapping[str, str], **properties: str) -> Iterator[Page]:
        server = self.start({**OPEN, **properties}, models=models)
        with browser() as driver:
            page = Page(driver, server)
            yield page
            self.assertEqual(complaints(driver), [])

    def test_registers_scales_predicts_and_unregisters(self) -> None:
        with self.page({"echo": ECHO, "drawer": PICTURE}) as page:
            page.load_whole()
            for archive in ("echo.mar", "drawer.mar"):
                page.press("Register a model", "header")
                page.choose("#archive", archive)
                page.press("Register", "#action")
                page.see("#action-progress", "registered")
                page.close("#action")
            self.assertEqual(page.server.ready("echo"), 1)
            page.open_version("echo")
            page.press("Scale", "#version")
            page.fill("#min-worker", "2")
            page.press("Scale", "#action")
            page.see("#action-progress", "scaled")
            page.close("#action")
            self.assertEqual(page.server.ready("echo"), 2)
            page.wait("return document.querySelectorAll('#version .cards tbody tr').length == 2")

            page.press("Try a prediction", "#version")
            page.fill("#input-text", '{"a": [1, "<b>"]}')
            page.press("Send", "#action")
            page.see("#action-progress", "Answered with 200")
            self.assertEqual(json.loads(page.text("#action-answer pre")), {"a": [1, "<b>"]})
            page.press("Cancel", "#action")
            page.close("#version")

            page.open_version("drawer")
            page.press("Try a prediction", "#version")
            page.press("Send", "#action")
            page.wait("return document.querySelector('#action-answer img')?.naturalWidth == 8")
            page.press("Cancel", "#action")
            page.press("Set as default", "#version")
            page.press("Set as default", "#action")
            page.see("#action-progress", "Default version")
            page.close("#action")
            page.press("Unregister", "#version")
            page.press("Unregister", "#action")
            page.see("#action-progress", "unregistered")
            page.close("#action")
            page.close("#version")
            page.wait("return !document.querySelector('#models').textContent.includes('drawer')")
            self.assertEqual(page.server.management("GET", "/models/drawer").status, 404)

            page.driver.get("about:blank")
            page.load("#try=echo")
            page.see("#action", "Try echo")

    def test_shows_a_crash_and_markup_as_text(self) -> None:
        with self.page({"loud": LOUD, "echo": ECHO}) as page:
            register = page.server.register
            self.assertLess(
                register("echo.mar", model_name="%3Cscript%3Edocument.title='run'%3Cscript%3E").status, 300
            )
            self.assertLess(register("loud.mar", synchronous="false").status, 300)
            page.load_whole()
            self.assertIn(MARKUP, page.see("#trouble", "loud"))
            self.assertIn("RuntimeError", page.text("#trouble"))
            page.open_version("loud")
            shown = page.see("#version-body", "Traceback")
            self.assertIn('raise RuntimeError("no weights: "', shown)
            stderr = page.see("#version-body pre[aria-label^='Last lines of stderr']", "img")
            self.assertIn(MARKUP, stderr)
            page.close("#version")
            page.open_version(SCRIPT_NAME)
            page.see("#version-body", "echo.mar")
            page.close("#version")
            self.assertIn(MARKUP, page.see("#log", "img"))
            self.assertEqual(page.driver.title, "modelserver")
            self.assertEqual(page.driver.find_elements("css selector", "main img, main script"), [])

    def test_a_refused_registration_tells_why(self) -> None:
        with self.page({"loud": LOUD}) as page:
            page.load_whole()
            page.press("Register a model", "header")
            page.choose("#archive", "loud.mar")
            page.press("Register", "#action")
            self.assertIn("no weights", page.see("#action-error", "RuntimeError"))
            # The console tells of every answer that is an error; nothing else.
            for message in complaints(page.driver):
                self.assertIn("/models?url=loud.mar", message)

    def test_asks_for_the_token_and_keeps_it_to_itself(self) -> None:
        with self.page({"echo": ECHO}, disable_token_authorization="false") as page:
            page.load()
            page.wait("return !document.querySelector('#login').hidden")
            for token, is_right in (("AAAAAAAAAAAAAAAAAAAAAA", False), (self.token(page.server), True)):
                page.fill("#token", token)
                page.press("Show the dashboard", "#login")
                if is_right:
                    page.wait("return document.documentElement.dataset.complete")
                else:
                    page.see("#login-message", "does not take this token")
            for message in complaints(page.driver):
                self.assertIn("/dashboard/stream - Failed to load resource: the server responded", message)
            self.assertTrue(page.driver.current_url.endswith("/dashboard"))
            kept = "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
            self.assertEqual(page.wait(kept), '[{},{},""]')
            page.press("Register a model", "header")
            page.choose("#archive", "echo.mar")
            page.press("Register", "#action")
            page.see("#action-progress", "registered")
            page.close("#action")
            page.open_version("echo")
            page.press("Try a prediction", "#version")
            page.fill("#input-text", "hello")
            page.press("Send", "#action")
            page.see("#action-answer", "hello")

    def test_in_the_other_dialect_models_have_no_versions(self) -> None:
        with self.page({"echo": ECHO}, dialect="mms", default_workers_per_model="1") as page:
            page.load_whole()
            page.press("Register a model", "header")
            page.choose("#archive", "echo.mar")
            page.press("Register", "#action")
            page.see("#action-progress", "Workers scaled")
            page.close("#action")
            page.open_version("echo")
            self.assertNotIn("Set as default", page.text("#version"))
            page.press("Scale", "#version")
            page.fill("#min-worker", "2")
            page.press("Scale", "#action")
            page.see("#action-progress", "Workers scaled")
            page.close("#action")
            page.wait("return document.querySelectorAll('#version .cards tbody tr').length == 2")
            page.press("Unregister", "#version")
            page.press("Unregister", "#action")
            page.see("#action-progress", "unregistered")

    def test_a_phone_shows_all_without_scrolling_sideways(self) -> None:
        with self.page({"echo": ECHO, "loud": LOUD}) as page:
            self.assert_ok(page.server.register("echo.mar"))
            self.assertLess(page.server.register("loud.mar", synchronous="false").status, 300)
            size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
            page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            page.load_whole()
            page.see("#trouble", "loud")
            page.press("Show the configuration in force")
            wide = "['html', '#version'].map((each) => document.querySelector(each).scrollWidth)"
            page.open_version("loud")
            page.see("#version-body", "Traceback")
            self.assertLessEqual(max(page.wait(f"return {wide}")), 360)

    def token(self, server: ServerProcess) -> str:
        keys = json.loads((server.folder / "key_file.json").read_text())
        return str(keys["management"]["key"])

    def test_a_keyboard_reaches_and_leaves_a_dialog(self) -> None:
        from selenium.webdriver.common.keys import Keys

        with self.page({"echo": ECHO}) as page:
            self.assert_ok(page.server.register("echo.mar"))
            page.load_whole()

            def focused() -> Any:
                return page.driver.switch_to.active_element

            for _ in range(60):
                focused().send_keys(Keys.TAB)
                if focused().text == "echo":
                    break
            focused().send_keys(Keys.ENTER)
            page.see("#version-title", "echo 1.0")
            self.assertTrue(page.find("#version").get_property("open"))
            focused().send_keys(Keys.ESCAPE)
            eventually(lambda: not page.find("#version").get_property("open"))
            self.assertEqual(focused().text, "echo")

    @skipIf(axe_script() is None, "axe-core is not here: AXE_CORE names no file")
    def test_axe_finds_no_serious_fault(self) -> None:
        script = axe_script()
        assert script is not None
        with self.page({"echo": ECHO, "loud": LOUD}) as page:
            self.assert_ok(page.server.register("echo.mar"))
            self.assertLess(page.server.register("loud.mar", synchronous="false").status, 300)
            page.load_whole()
            page.see("#trouble", "loud")
            page.press("Show the configuration in force")
            # The browser's own world: the page's policy would not let a foreign script in.
            page.driver.execute_script(script.read_text("utf-8"))
            self.assertEqual(self.faults(page), [])
            page.open_version("loud")
            page.see("#version-body", "Traceback")
            self.assertEqual(self.faults(page), [])
            page.press("Scale", "#version")
            self.assertEqual(self.faults(page), [])

    def faults(self, page: Page) -> list[str]:
        run = "axe.run().then(found => done(found.violations), error => done([{id: String(error)}]))"
        found: list[dict[str, Any]] = page.driver.execute_async_script(f"const done = arguments[0]; {run}")
        return [
            f"{each['id']}: {[node['html'] for node in each.get('nodes', ())][:3]}"
            for each in found
            if each.get("impact") in (None, "serious", "critical")
        ]
