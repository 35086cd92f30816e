"""The pages of the documentation as tests read them: their code blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown.extensions.toc import slugify, strip_tags

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """Return the page's path from the root of the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the page's fenced blocks in these languages (all when none is named), in order."""
    text = page.read_text()
    found = [
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[1], match[2])
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def code_spans(page: Path) -> list[str]:
    """Return the pieces of code inside the page's sentences and tables."""
    return [span.replace("\\|", "|") for span in _SPAN.findall(_FENCE.sub("", page.read_text()))]


def links(page: Path) -> list[str]:
    """Return the targets of the page's links."""
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the ids that the site gives to the page's headings."""
    return set(_unique(slugify(strip_tags(heading.replace("`", "")), "-")
                       for heading in _HEADING.findall(_FENCE.sub("", page.read_text()))))  # fmt: skip


def _unique(ids: Iterator[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for one in ids:
        seen[one] = seen.get(one, -1) + 1
        yield one if not seen[one] else f"{one}_{seen[one]}"
