"""The page of settings names every setting the code reads, with its default, and no other."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from typing import Any

from automate_api import conf as api_conf
from automate_api import defaults
from automate_core.conf import AutomateSettings
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"

# Read by libraries, or by Python's own start; the code of the project only looks whether they are set.
FROM_LIBRARIES = {"DJANGO_SETTINGS_MODULE", "OTEL_SERVICE_NAME"}
# Not settings: paths and locale handed on to PostgreSQL's programs.
NOT_SETTINGS = {"PYTHONPATH"}


def section(heading: str) -> str:
    text = PAGE.read_text()
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(heading: str) -> list[list[str]]:
    lines = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def documented(heading: str) -> dict[str, Any]:
    return {row[0].strip("`"): ast.literal_eval(row[1].strip("`")) for row in rows(heading)}


def test_every_automate_key_is_on_the_page_with_its_default() -> None:
    assert documented("AUTOMATE") == {field.name: field.default for field in fields(AutomateSettings)}


def test_every_api_key_is_on_the_page_with_its_default() -> None:
    assert documented("AUTOMATE_API") == api_conf.DEFAULTS


def test_every_environment_variable_is_on_the_page() -> None:
    named = {
        name
        for row in rows("Environment of the standalone project")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert named == read_by_the_code() | FROM_LIBRARIES


def read_by_the_code() -> set[str]:
    reads = re.compile(
        r"environment\.(?:text|required|number|whole|words)\(\s*\"(\w+)\""
        r"|os\.environ(?:\.get\(|\.setdefault\(|\[)\"(\w+)\""
        r"|environ\.get\(\"(\w+)\""
    )
    found: set[str] = set()
    for folder in ("config", "automate_core", "automate_api", "automate_connectors", "automate"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= {name for groups in reads.findall(path.read_text()) for name in groups if name}
    rates = {f"RATE_{name}": "1/day" for name in ("STANDARD", "DATACHAT", "RAG", "EMBED", "WEBHOOK")}
    taken = defaults.rates_from({f"AUTOMATE_{name}": rate for name, rate in rates.items()})
    assert taken == rates
    return found - NOT_SETTINGS | {f"AUTOMATE_{name}" for name in taken} | spans_endpoints()


def spans_endpoints() -> set[str]:
    from automate_core.telemetry import spans

    return set(spans.ENDPOINTS)
