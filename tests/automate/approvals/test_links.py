"""Approval links: whom they let decide what, that a GET decides nothing, and that the page is safe to open."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.signing import Signer
from django.test import Client
from django.utils import timezone

from automate.approvals.links import UnknownLink, approval_links, link_token, read_link
from automate.approvals.page import HEADERS
from automate.approvals.verbs import decide
from automate.models import Approval, ApprovalVote
from automate.waits.tokens import resume_token
from automate_core.redaction import redact
from tests.automate.approvals.conftest import FORM, answer

pytestmark = pytest.mark.django_db

Person = Callable[..., Any]
Pending = Callable[..., Approval]


def url(token: str) -> str:
    return f"/api/automate/approvals/links/{token}/"


def vote(token: str, decision: str = "approve", **fields: str) -> Any:
    client = Client(enforce_csrf_checks=True)
    body = urlencode({"decision": decision, **fields})
    return client.post(url(token), body, content_type="application/x-www-form-urlencoded")


def test_links_are_made_for_each_voter(person: Person, pending: Pending, settings: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "PUBLIC_URL": "https://flows.example/"}
    ada, _, _ = person(), person("bob", groups=("finance",)), person("eve")
    approval = pending(assignees={"users": ["ada"], "groups": ["finance"]})
    links = approval_links(approval)
    assert sorted(links) == ["ada", "bob"]
    assert links["ada"] == "https://flows.example" + url(link_token(approval, ada))


def test_post_votes_in_the_name_of_the_voter(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending()
    token = link_token(approval, ada)
    reply = vote(token, comment="fine")
    assert (reply.status_code, reply["Location"]) == (303, url(token))
    assert {name: reply[name] for name in HEADERS} == dict(HEADERS)
    cast = ApprovalVote.objects.get()
    assert (cast.voter, cast.comment, answer(approval)["route"]) == (ada, "fine", "approved")
    after = Client().get(url(token))
    assert (after.status_code, "This approval is APPROVED" in after.content.decode()) == (200, True)


@pytest.mark.parametrize("method", ["get", "head"])
def test_get_shows_and_decides_nothing(person: Person, pending: Pending, method: str) -> None:
    token = link_token(pending(), person())
    reply = getattr(Client(), method)(url(token) + "?decision=approve&comment=x")
    assert (reply.status_code, ApprovalVote.objects.count()) == (200, 0)
    assert {name: reply[name] for name in HEADERS} == dict(HEADERS)


def test_link_votes_once(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(required=2, voters=2)
    token = link_token(approval, ada)
    assert [vote(token).status_code, vote(token, "reject").status_code] == [303, 303]
    assert list(ApprovalVote.objects.values_list("decision", flat=True)) == ["approve"]
    page = Client().get(url(token)).content.decode()
    assert ("Your vote is recorded, ada" in page, "<form" in page, "Pay?" in page) == (True, False, True)


def test_page_hides_the_data_once_it_is_decided(person: Person, pending: Pending) -> None:
    ada, bob = person(), person("bob")
    approval = pending(assignees={"users": ["ada", "bob"]}, data={"amount": 4711})
    token = link_token(approval, bob)
    assert "4711" in Client().get(url(token)).content.decode()
    decide(approval, by=ada, decision="reject")
    page = Client().get(url(token)).content.decode()
    assert ("4711" in page, "<form" in page, "This approval is REJECTED" in page) == (False, False, True)
    assert vote(token).status_code == 303
    assert ApprovalVote.objects.count() == 1


def test_link_is_for_one_approval_and_one_voter(person: Person, pending: Pending) -> None:
    ada, bob = person(), person("bob")
    approval = pending(assignees={"users": ["ada", "bob"]})
    other = pending(assignees={"users": ["ada", "bob"]})
    assert (read_link(link_token(approval, ada)).approval, read_link(link_token(approval, ada)).voter) == (
        approval,
        ada,
    )
    assert len({link_token(one, voter) for one in (approval, other) for voter in (ada, bob)}) == 4


def test_token_that_is_not_ours_leads_nowhere(person: Person, pending: Pending, settings: Any) -> None:
    ada, approval = person(), pending()
    good = link_token(approval, ada)
    changed = good[:-1] + ("A" if good[-1] != "A" else "B")
    foreign = resume_token(approval.execution_id, approval.path)
    signed = Signer().sign(str(approval.pk))
    for token in (
        changed,
        good[:-4],
        good[4:],
        "apl_",
        "apl_" + "A" * 43,
        foreign,
        signed,
        "ü",
        "\ud800",
        "",
    ):
        with pytest.raises(UnknownLink):
            read_link(token)
    settings.SECRET_KEY = "another-key"
    with pytest.raises(UnknownLink):
        read_link(good)
    settings.SECRET_KEY_FALLBACKS = ["tests-only-secret-key-of-no-value-0123456789"]
    assert read_link(good).voter == ada


def test_link_is_worthless_after_the_deadline_the_cancel_and_the_leave(
    person: Person, pending: Pending
) -> None:
    ada = person()
    expired = pending(deadline=timezone.now() - timedelta(seconds=1))
    cancelled = pending()
    cancelled.execution.cancel_requested_at = timezone.now()
    cancelled.execution.save()
    unassigned = pending(assignees={"users": ["bob"]})
    left = pending()
    ada_gone = person("gone", role=None)
    for approval, voter in ((expired, ada), (cancelled, ada), (unassigned, ada), (left, ada_gone)):
        token = link_token(approval, voter)
        replies = [Client().get(url(token)), vote(token)]
        assert [(one.status_code, one.json()["error"]["code"]) for one in replies] == [(404, "NOT_FOUND")] * 2
    assert ApprovalVote.objects.count() == 0


def test_link_is_no_credential_for_anything_else(person: Person, pending: Pending) -> None:
    approval = pending()
    token = link_token(approval, person())
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
        assert Client(headers=headers).get("/api/automate/approvals/").status_code == 401
    resumed = Client().generic("POST", f"/api/automate/resume/{token}/")
    assert (resumed.status_code, answer(approval)) == (404, None)


def test_page_says_why_a_vote_was_not_taken(person: Person, pending: Pending) -> None:
    token = link_token(pending(form=FORM, data={}), person())
    page = vote(token)
    assert (page.status_code, "data.amount: This field is required" in page.content.decode()) == (200, True)
    page = vote(token, "reject", seen="0" * 64)
    assert (page.status_code, "somebody changed it" in page.content.decode()) == (200, True)
    assert vote(token, "perhaps").status_code == 200
    assert ApprovalVote.objects.count() == 0


XSS = "</pre></title></style><script>alert(1)</script><img src=x onerror='alert(1)'>\"{{ 7|add:7 }}"


def test_page_escapes_everything(person: Person, pending: Pending) -> None:
    approval = pending(title=XSS, message=XSS, data={XSS: [XSS]})
    approval.assignees = {"users": [XSS[:100]]}
    approval.save()
    reply = Client().get(url(link_token(approval, person(XSS[:100]))))
    page = reply.content.decode()
    assert re.findall(r"<(\w+)", page) == [
        "html", "head", "meta", "meta", "meta", "meta", "title", "style", "body", "main", "h1", "p", "h2", "pre",
        "form", "p", "label", "br", "textarea", "input", "p", "button", "button", "p",
    ]  # fmt: skip
    assert page.count("{{ 7|add:7 }}") >= 4
    policy = reply["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_page_loads_nothing_and_its_style_is_the_one_allowed(person: Person, pending: Pending) -> None:
    reply = Client().get(url(link_token(pending(), person())))
    page = reply.content.decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    allowed = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{allowed}'" in reply["Content-Security-Policy"]
    assert not re.search(r"(src|href|action|style)=", page)


def test_link_is_redacted_wherever_it_is_recorded(person: Person, pending: Pending) -> None:
    token = link_token(pending(), person())
    assert redact({"text": f"https://a.b{url(token)}"}) == {
        "text": "https://a.b/api/automate/approvals/links/***REDACTED***/"
    }


def test_visits_are_counted_by_address(person: Person, pending: Pending, settings: Any) -> None:
    settings.AUTOMATE_API = {**settings.AUTOMATE_API, "RATE_STANDARD": "2/minute"}
    token = link_token(pending(), person())
    replies = [Client().get(url(token), REMOTE_ADDR="192.0.2.1") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert Client().get(url(token), REMOTE_ADDR="192.0.2.2").status_code == 200
