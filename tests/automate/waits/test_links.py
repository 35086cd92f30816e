"""Resume links: where they lead, who can know them, and that they stay out of records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from automate.executions.signals import Answer
from automate.models import StepRun
from automate.waits.links import NoPublicUrl, public_url, resume_links
from automate.waits.tokens import UnknownToken, resume, resume_token, token_hash
from automate_core.redaction import redact
from automate_core.revealed import collect_secrets
from automate_core.templating import UndefinedPath, compile_template
from tests.automate.waits.conftest import PUBLIC_URL, past

EXECUTION = UUID(int=5)
HIDDEN = "***REDACTED***"


def test_template_reads_the_link_of_a_node(public_url: str) -> None:
    scope = {"resume": resume_links(EXECUTION, "orders[3]/", ["wait"])}
    token = resume_token(EXECUTION, "orders[3]/wait")
    url = f"{PUBLIC_URL}/api/automate/resume/{token}/"
    with collect_secrets() as seen:
        assert compile_template("Go to {{ resume.wait }}").render(scope) == f"Go to {url}"
    assert (seen, scope["resume"].handed_out) == ([token], (token,))


def test_template_of_an_unknown_node_is_undefined(public_url: str) -> None:
    with pytest.raises(UndefinedPath, match="has wait"):
        compile_template("{{ resume.wiat }}").render({"resume": resume_links(EXECUTION, "", ["wait"])})


def test_links_are_made_only_when_read() -> None:
    links = resume_links(EXECUTION, "", ["wait"])
    assert (list(links), links.handed_out) == (["wait"], ())
    with pytest.raises(NoPublicUrl, match="PUBLIC_URL"):
        links["wait"]


@pytest.mark.parametrize("base", ["flows.example", "ftp://flows.example", "https://", "https://a.b/?x=1"])
def test_public_url_refuses_what_is_no_base(settings: Any, base: str) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "PUBLIC_URL": base}
    with pytest.raises(NoPublicUrl, match="must be an http"):
        public_url("automate-resume", "x")


def test_token_depends_on_execution_path_and_key(settings: Any) -> None:
    tokens = {
        resume_token(EXECUTION, "a"),
        resume_token(str(EXECUTION), "a"),
        resume_token(EXECUTION, "b"),
        resume_token(UUID(int=6), "a"),
    }
    settings.SECRET_KEY = "another"
    tokens.add(resume_token(EXECUTION, "a"))
    assert len(tokens) == 4
    assert {len(token) for token in tokens} == {47}


@pytest.mark.parametrize("shape", ["{}", "https://a.b/resume/{}/", "%2Fresume%2F{}%2F", '{{"u": "{}"}}'])
def test_token_is_redacted_wherever_it_is_recorded(shape: str) -> None:
    token = resume_token(EXECUTION, "a")
    assert redact({"text": shape.format(token)}) == {"text": shape.format(HIDDEN)}


@pytest.mark.django_db
def test_resume_answers_once(step_with_link: Callable[..., tuple[StepRun, str]]) -> None:
    step, token = step_with_link()
    assert resume(token, Answer({"n": 1}, "main")) == str(step.execution_id)
    with pytest.raises(UnknownToken):
        resume(token, Answer({"n": 2}, "main"))
    step.refresh_from_db()
    assert step.answer == {"output": {"n": 1}, "route": "main"}


@pytest.mark.django_db
def test_resume_refuses_what_nobody_waits_for(step_with_link: Callable[..., tuple[StepRun, str]]) -> None:
    expired, late = step_with_link(wake_at=past())
    _, over = step_with_link(status="CANCELLED")
    _, good = step_with_link()
    stored = token_hash(good)
    for token in (late, over, stored, "", "x" * 5_000, "\ud800", good[:-1]):
        with pytest.raises(UnknownToken):
            resume(token, Answer({}))
    expired.refresh_from_db()
    assert expired.answer is None
