"""The site: it builds without a warning, has every page, and asks nobody else for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT

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
