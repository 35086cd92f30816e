"""What a template reads, without rendering it."""

from __future__ import annotations

import pytest

from automate_core.templating import PathRead, TemplateSyntaxError, path_reads


def test_reads_name_path_field_and_default() -> None:
    template = {
        "to": "{{ input.email }}",
        "lines": ["plain", {"text": "Hi {{ input.name | upper | default('you') }}, {{ event.id }}"}],
        "n": 5,
    }
    assert list(path_reads(template, "config")) == [
        PathRead(("input", "email"), "config.to", False),
        PathRead(("input", "name"), "config.lines[1].text", True),
        PathRead(("event", "id"), "config.lines[1].text", False),
    ]


def test_reads_of_a_constant_are_none() -> None:
    assert list(path_reads(["a", 1, None, r"\{{ not.a.path }}"])) == []


def test_reads_of_a_wrong_template_are_refused() -> None:
    with pytest.raises(TemplateSyntaxError):
        list(path_reads("{{ a b }}"))
