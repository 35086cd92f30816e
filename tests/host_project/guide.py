"""The examples of the views reference as Python: its text lost its indentation, and nothing else is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
VIEWS = (ROOT / "tests" / "contract" / "views.md").read_text().splitlines()

SECTIONS = {
    "BaseAPIView": "",
    "BaseViewSet": "from rest_framework.response import Response\n",
    "BaseModelViewSet": "from portal.models import MyModel\nfrom portal.serializers import MyModelSerializer\n",
    "BaseReadOnlyViewSet": "from portal.models import MyModel\nfrom portal.serializers import MyModelSerializer\n",
    "ConfigurableMixin": (
        "from rest_framework import viewsets\nfrom automate_api.v1.mixins import ConfigurableMixin\n"
    ),
    "CORSMixin": "from rest_framework import viewsets\nfrom automate_api.v1.mixins import CORSMixin\n",
    "TenantFilterMixin": (
        "from rest_framework import viewsets\nfrom automate_api.v1.mixins import TenantFilterMixin\n"
    ),
    "RateLimitMixin": "from rest_framework import viewsets\nfrom automate_api.v1.mixins import RateLimitMixin\n",
    "StaffOnlyMixin": "from rest_framework import viewsets\nfrom automate_api.v1.mixins import StaffOnlyMixin\n",
    "PublicAPIMixin": "from rest_framework import viewsets\nfrom automate_api.v1.mixins import PublicAPIMixin\n",
    "Custom Permissions": "from automate_api.v1.base import BaseModelViewSet\n",
    "Custom Actions": "from automate_api.v1.base import BaseModelViewSet\n",
    "Custom Routing": "from django.urls import include, path\n",
    "Extend BaseViewSet": "",
}
"""The sections whose examples are run, and the imports each leaves to its reader."""

NOT_YET = {
    "ChatViewSet": "automate_datachat.viewsets",
    "Override Existing ViewSet": "automate_datachat.viewsets",
}
"""The sections whose examples wait for an app to come, and the module that will bring it."""

_OTHER_HEADINGS = {"Mixins", "ViewSets by Module", "EmbedViewSet", "Customization Guide"}
_STARTS = ("from ", "import ", "class ")
_PROSE = ("Features: ", "Mixins included: ", "| ")


@dataclass(frozen=True)
class Example:
    """The code of one section as the document has it, line by line."""

    title: str
    lines: tuple[str, ...]

    @property
    def module(self) -> str:
        """Name of the module it becomes."""
        return self.title.lower().replace(" ", "_")

    @property
    def source(self) -> str:
        """The module: the imports left to the reader, then the document's code."""
        return SECTIONS.get(self.title, "") + indented(self.lines)


def examples() -> list[Example]:
    """Return the example of every section that has code."""
    found = []
    title, code = "", list[str]()
    for line in [*VIEWS, ""]:
        is_heading = line == "" or line in _OTHER_HEADINGS or line in SECTIONS or line in NOT_YET
        if is_heading or (code and line.startswith(_PROSE)):
            if code:
                found.append(Example(title, tuple(code)))
            title, code = line, []
        elif code or (title and line.startswith(_STARTS)):
            code.append(line)
    return found


def indented(lines: tuple[str, ...]) -> str:
    """Return code with the indentation it lost: functions are methods, and `pass` is a whole body."""
    written: list[str] = []
    depth, open_brackets, is_class, is_def = 0, 0, False, False
    for line in lines:
        if open_brackets == 0:
            if line.startswith(_STARTS):
                is_class, is_def = line.startswith("class "), False
            member = line.startswith(("@", "def "))
            depth = 0 if line.startswith(_STARTS) else is_class + (is_def and not member)
            is_def = line.startswith("def ") or (is_def and not member)
        opened = open_brackets + _balance(line)
        inside = open_brackets and not (opened == 0 and line[0] in ")]}")
        written.append("    " * (depth + bool(inside)) + line)
        open_brackets = opened
        if line == "pass":
            is_class = is_def = False
    if _has_no_body(lines):
        written.append("    ...")
    return "\n".join(written) + "\n"


def _balance(line: str) -> int:
    return sum(line.count(mark) for mark in "([{") - sum(line.count(mark) for mark in ")]}")


def _has_no_body(lines: tuple[str, ...]) -> bool:
    return len(lines) > 1 and lines[-2].startswith("class ") and lines[-1].startswith("#")
