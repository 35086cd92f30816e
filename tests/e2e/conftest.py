"""A real browser, Debian's Chromium, looking at the project as `make run` starts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.factories import standalone
from tests.factories.browsers import PATIENCE_MILLISECONDS, browser
from tests.factories.standalone import Standalone

__all__ = ["browser"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """The running project, with nothing in it but the demo."""
    with standalone.running(standalone.environment(tmp_path_factory.mktemp("data"))) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, that fails the test when its scripts do."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    shown = context.new_page()
    wrong: list[str] = []
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on(
        "console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None
    )
    yield shown
    context.close()
    assert wrong == []


@pytest.fixture
def logged_in(page: Page, project: Standalone) -> Page:
    """A page whose session is the administrator's."""
    page.goto(f"{project.url}/admin/login/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", project.password)
    page.click("[type=submit]")
    page.wait_for_url(f"{project.url}/admin/")
    return page
