"""The page behind an approval link: self-contained, without scripts, and safe to show whatever the data holds."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from django.template import Context, Engine, Template

from automate.approvals.links import Invitation
from automate.approvals.verbs import digest
from automate_core.errors import Problem

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}pre{background:#f4f4f4;padding:1rem;overflow-x:auto;white-space:pre-wrap;"
    "overflow-wrap:anywhere}.message{white-space:pre-wrap}textarea{width:100%;font:inherit}"
    "button{font:inherit;padding:.5rem 1.25rem;margin-right:.5rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    # Nothing is loaded and nothing runs; the form goes back to where the page came from.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response that shows the page or leads to it."""


def render(invitation: Invitation, *, notice: str = "", problems: Sequence[Problem] = ()) -> str:
    """Return the page: the question with two buttons while a vote counts, else how it ended and no data."""
    approval = invitation.approval
    facts = {
        "title": approval.title,
        "message": approval.message,
        "data": None if approval.data is None else json.dumps(approval.data, indent=2, ensure_ascii=False),
        "deadline": approval.deadline and approval.deadline.strftime("%Y-%m-%d %H:%M UTC"),
        "seen": digest(approval.data),
        "voter": invitation.voter.get_username(),
        "state": invitation.state,
        "is_open": invitation.is_open,
        "has_voted": invitation.has_voted,
        "notice": notice,
        "problems": problems,
        "style": _STYLE,
    }
    return _template().render(Context(facts))


@cache
def _template() -> Template:
    # An engine of our own: the page escapes whatever the project's template settings say.
    source = (Path(__file__).parent / "templates" / "approval.html").read_text()
    return Engine(autoescape=True).from_string(source)
