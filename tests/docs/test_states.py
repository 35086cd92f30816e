"""The drawings of states: every state of the code is in its diagram and its table, and the site draws them itself."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest
from django.db.models import TextChoices

from automate.enums import ApprovalStatus, ExecutionStatus, StepStatus
from automate_core.endpoints import RunStatus
from automate_core.models import OutboxStatus
from tests.docs.pages import PAGES, ROOT, Block, blocks

PAGE = ROOT / "docs" / "concepts" / "states.md"
STATES: dict[str, type[TextChoices]] = {
    "An execution": ExecutionStatus,
    "A step run": StepStatus,
    "An outbox item": OutboxStatus,
    "A webhook delivery": OutboxStatus,
    "A job": RunStatus,
    "An approval": ApprovalStatus,
}
WITHOUT_STATES = {"A development session"}
"""Sections whose states are kept in no column."""


def hook() -> ModuleType:
    """Return the module that draws, as MkDocs loads it: by its path."""
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs" / "hooks" / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_section_is_about_states_of_the_code() -> None:
    assert set(sections()) == set(STATES) | WITHOUT_STATES


@pytest.mark.parametrize("title", STATES)
def test_every_state_is_in_its_diagram_and_no_other(title: str) -> None:
    (drawn,) = re.findall(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", sections()[title], re.M | re.S)
    found = hook().transitions(drawn)
    assert {name for one in found for name in (one.source, one.target)} - {"start", "end"} == set(
        STATES[title].values
    )


@pytest.mark.parametrize("title", sorted(set(STATES) - {"A webhook delivery"}))
def test_every_state_is_explained(title: str) -> None:
    cells = re.findall(r"^\| (`[^|]+`) \|", sections()[title], re.MULTILINE)
    assert {state for cell in cells for state in re.findall(r"`(\w+)`", cell)} == set(STATES[title].values)


def test_every_diagram_of_the_pages_is_drawn_with_every_transition() -> None:
    drawn = [block for page in PAGES for block in blocks(page, "mermaid")]
    assert len(drawn) == 7
    for block in drawn:
        page = hook().on_page_markdown(f"```mermaid\n{block.text}```\n")
        count = block.text.count(" --> ")
        assert (page.count("<li>"), page.count('class="badge"')) == (count, count), block
        assert "```" not in page


def test_drawing_shows_what_leads_where() -> None:
    page = hook().on_page_markdown(
        "```mermaid\nstateDiagram-v2\n  [*] --> A: made\n  A --> [*]: x < y\n```\n"
    )
    assert "<li>begin → <code>A</code>: made</li><li><code>A</code> → end: x &lt; y</li>" in page
    assert page.count("<rect") == 1


def test_line_that_is_no_transition_is_refused() -> None:
    with pytest.raises(ValueError, match="Not a transition"):
        hook().transitions("  A -> B: wrong arrow\n")


def test_states_of_a_drawing_do_not_overlap() -> None:
    for block in blocks(PAGE, "mermaid"):
        places = boxes(block)
        assert len(set(places)) == len(places)
        for number, (x, y) in enumerate(places):
            assert all(y != b or abs(x - a) >= 104 for a, b in places[number + 1 :]), block


def boxes(block: Block) -> list[tuple[int, int]]:
    page = hook().on_page_markdown(f"```mermaid\n{block.text}```\n")
    return [(int(x), int(y)) for x, y in re.findall(r'<rect x="(-?\d+)" y="(\d+)"', page)]
