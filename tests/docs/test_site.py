"""The site: it builds without a warning, has every page, and asks nobody else for anything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, expect

from tests.docs.pages import ROOT
from tests.factories.browsers import PATIENCE_MILLISECONDS, browser

__all__ = ["browser"]

LOADED_BY = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "video": "src", "object": "data",
}  # fmt: skip
NOT_LOADED = {"canonical", "next", "prev"}


class Assets(HTMLParser):
    """Collects the URLs that a browser loads to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        url = given.get(LOADED_BY.get(tag, ""))
        if url and given.get("rel") not in NOT_LOADED:
            self.urls.add(url)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return place


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text()
    pages = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    pages = {page.removesuffix("/index") for page in pages}
    assert {page for page in pages - {"index"} if f'href="{page}/"' not in home} == set()


def test_every_how_to_is_on_the_first_page() -> None:
    text = (ROOT / "docs" / "index.md").read_text()
    pages = [path.name for path in (ROOT / "docs" / "how-to").glob("*.md")]
    assert [page for page in pages if f"(how-to/{page})" not in text] == []


def test_every_decision_is_listed_and_short() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", (folder / "index.md").read_text(), re.MULTILINE)
    decisions = sorted(folder.glob("0*.md"))
    assert [f"# {number}. {title}" for number, title, _ in listed] == [
        path.read_text().split("\n")[0] for path in decisions
    ]
    assert [name for *_, name in listed] == [path.name for path in decisions]
    assert [path.name for path in decisions if len(path.read_text().splitlines()) > 30] == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    assets = Assets()
    for page in site.rglob("*.html"):
        assets.feed(page.read_text())
    assert len(assets.urls) > 3
    assert {url for url in assets.urls if re.match(r"(https?:)?//", url)} == set()


def test_styles_load_nothing_from_elsewhere(site: Path) -> None:
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert styles
    assert [
        url
        for style in styles
        for url in re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", style)
    ] == []


def test_every_operation_of_the_document_is_described(site: Path) -> None:
    document = yaml.safe_load((ROOT / "docs" / "reference" / "openapi.yaml").read_text())
    page = (site / "reference" / "rest-operations" / "index.html").read_text()
    described = set(re.findall(r"<h3[^>]*>([A-Z]+ /api/[^<]*)<", page))
    assert described == {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert "order-processor" in page
    assert "Idempotency-Key" not in page  # what holds for all of them is said once, elsewhere


SIZES = {"desk": (1280, 900), "phone": (390, 844)}


class Silent(SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, *args: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


def looking(browser: Browser, address: str, size: str, scheme: str) -> tuple[BrowserContext, list[str]]:
    """Return a context, and the list of what goes wrong in it: requests to others, errors of scripts."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    wrong: list[str] = []
    context.on(
        "request",
        lambda one: None if one.url.startswith((address, "data:", "blob:")) else wrong.append(one.url),
    )
    context.on("weberror", lambda one: wrong.append(str(one.error)))
    return context, wrong


LOOKED_AT = [
    "", "tutorial/", "how-to/workflows/", "how-to/limits/", "concepts/states/", "reference/settings/",
    "reference/errors/", "reference/telemetry/", "decisions/", "glossary/",
]  # fmt: skip
"""Pages with the widest tables, blocks and drawings; the page of operations is looked at on its own."""


@pytest.mark.parametrize(
    ("size", "scheme", "paths"),
    [
        ("phone", "light", LOOKED_AT),
        ("phone", "dark", ["reference/rest-operations/"]),
        ("desk", "dark", LOOKED_AT[:2]),
    ],
    ids=["phone", "operations", "desk"],
)
def test_pages_fit_the_screen_and_ask_nobody_else(
    browser: Browser, address: str, size: str, scheme: str, paths: list[str]
) -> None:
    context, wrong = looking(browser, address, size, scheme)
    page = context.new_page()
    too_wide = []
    for path in paths:
        answer = page.goto(address + path, wait_until="load")
        assert answer is not None
        assert answer.status == 200
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            too_wide.append(path)
    drawn = page.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    assert (too_wide, wrong) == ([], [])
    assert (drawn == "rgb(255, 255, 255)") == (scheme == "light")


def test_search_finds_without_the_network(browser: Browser, address: str) -> None:
    context, wrong = looking(browser, address, "desk", "light")
    page = context.new_page()
    page.goto(address)
    page.fill(".md-search__input", "approval")
    expect(page.locator(".md-search-result__item").first).to_contain_text("Ask people for approval")
    context.close()
    assert wrong == []


def test_diagrams_are_seen_and_not_searched(browser: Browser, address: str, site: Path) -> None:
    context, _ = looking(browser, address, "phone", "dark")
    page = context.new_page()
    page.goto(address + "concepts/states/")
    boxes = [one.bounding_box() for one in page.locator("figure.states svg").all()]
    context.close()
    assert len(boxes) == 7
    assert all(box is not None and 150 < box["width"] <= 390 for box in boxes)
    index = json.loads((site / "search" / "search_index.json").read_text())
    assert [one["location"] for one in index["docs"] if "PENDINGAPPROVED" in one["text"]] == []
