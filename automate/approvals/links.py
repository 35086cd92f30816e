"""Approval links: signed URLs that let one voter decide one approval, once, and nothing else.

A token is the approval's id, an HMAC-SHA256 and the voter's key, in base64url; nothing is stored. Its key is derived
from SECRET_KEY for this purpose alone, so no other signature of the site is one of these. It is spent with the vote,
and worth nothing once the approval is closed or the voter is no longer an assignee.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils.crypto import salted_hmac

from automate.approvals.assignees import Assignees, may_vote, voters
from automate.approvals.states import state_of
from automate.enums import ApprovalStatus
from automate.models import Approval
from automate.waits.links import public_url
from automate_core.context import tenant_scope
from automate_core.errors import NotFound

MARK = "apl_"
"""What every token begins with; redaction knows it by that."""

_PURPOSE = "automate.approvals.link"
_ID_BYTES, _MAC_BYTES = 16, 32


class UnknownLink(NotFound):
    """This link leads nowhere: it is wrong or not valid any more."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a valid link stands for; `has_voted` once it is spent."""

    approval: Approval
    voter: Any
    state: str
    has_voted: bool

    @property
    def is_open(self) -> bool:
        """Whether a vote by this link still counts."""
        return self.state == ApprovalStatus.PENDING and not self.has_voted


def approval_links(approval: Approval) -> dict[str, str]:
    """Return the URL of each user who may vote, by user name. Give each only to its user: it votes in their name.

    Raises:
        NoPublicUrl: AUTOMATE["PUBLIC_URL"] is not set.
    """
    with tenant_scope(approval.tenant_id):
        electorate = voters(Assignees.of(approval.assignees), approval.tenant_id)
    return {
        user.get_username(): public_url("automate-approval-link", link_token(approval, user))
        for user in electorate
    }


def link_token(approval: Approval, voter: Any) -> str:
    """Return the token of one voter's link."""
    named = str(voter.pk).encode()
    mac = _macs(approval.pk, named)[0]
    return MARK + base64.urlsafe_b64encode(approval.pk.bytes + mac + named).rstrip(b"=").decode()


def read_link(token: str) -> Invitation:
    """Return what a token stands for.

    Raises:
        UnknownLink: the token is not ours, the approval ran out or was called off, or the voter may not vote now.
    """
    approval_id, voter_key = _verified(token)
    approval = Approval.all_tenants.filter(pk=approval_id).first()
    voter = _user(voter_key)
    if approval is None or voter is None:
        raise UnknownLink
    with tenant_scope(approval.tenant_id):
        if not may_vote(voter, Assignees.of(approval.assignees), approval.tenant_id):
            raise UnknownLink
        state = state_of(approval)
        if state in (ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED):
            raise UnknownLink
        return Invitation(approval, voter, state, approval.votes.filter(voter=voter).exists())


def _verified(token: str) -> tuple[UUID, str]:
    try:
        encoded = token.removeprefix(MARK).encode("ascii")
        raw = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise UnknownLink from None
    if not token.startswith(MARK) or len(raw) <= _ID_BYTES + _MAC_BYTES:
        raise UnknownLink
    approval_id, mac = UUID(bytes=raw[:_ID_BYTES]), raw[_ID_BYTES : _ID_BYTES + _MAC_BYTES]
    named = raw[_ID_BYTES + _MAC_BYTES :]
    if not any(hmac.compare_digest(mac, expected) for expected in _macs(approval_id, named)):
        raise UnknownLink
    return approval_id, named.decode()


def _macs(approval_id: UUID, voter: bytes) -> list[bytes]:
    """Return the HMAC of a link under the current key, then under those it replaced."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    value = approval_id.bytes + voter
    return [salted_hmac(_PURPOSE, value, secret=key, algorithm="sha256").digest() for key in keys]


def _user(key: str) -> Any | None:
    try:
        return get_user_model()._default_manager.filter(pk=key).first()
    except (ValueError, ValidationError):
        return None
