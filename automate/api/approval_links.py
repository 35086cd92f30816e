"""The route of approval links: GET shows the question, POST votes. Mail scanners send GET, so GET never votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from automate.api.resume import FormParser
from automate.approvals import page
from automate.approvals.links import Invitation, read_link
from automate.approvals.verbs import AlreadyClosed, AlreadyVoted, decide
from automate_api.throttling import RateThrottle
from automate_api.v1.base import BaseAPIView, PublicAPIMixin
from automate_core.errors import AutomateError, Conflict, Problem, ValidationFailed

_VOTE = inline_serializer(
    "LinkVote",
    {
        "decision": serializers.ChoiceField(choices=["approve", "reject"]),
        "comment": serializers.CharField(required=False),
        "seen": serializers.CharField(required=False),
    },
)
_PAGE = OpenApiResponse(OpenApiTypes.STR, description="A page for people")


class ApprovalLinkView(PublicAPIMixin, BaseAPIView):
    """One voter's signed link to one approval. The token is the credential: there is no session to forge from."""

    parser_classes: Sequence[Any] = (FormParser,)

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the standard limit, by address."""
        return [RateThrottle(scope="STANDARD", by_address=True)]

    @extend_schema(operation_id="automate_approval_link_show", responses={(200, "text/html"): _PAGE})
    def get(self, request: Request, token: str) -> HttpResponse:
        """Show what is asked; nothing changes."""
        return _shown(read_link(token))

    @extend_schema(
        operation_id="automate_approval_link_vote",
        request={"application/x-www-form-urlencoded": _VOTE},
        responses={
            303: OpenApiResponse(description="Voted; leads back to the page, which says how it stands")
        },
    )
    def post(self, request: Request, token: str) -> HttpResponse:
        """Vote in the name of the link's voter."""
        given = request.data
        invitation = read_link(token)
        try:
            decide(
                invitation.approval,
                by=invitation.voter,
                decision=_text(given, "decision"),
                comment=_text(given, "comment"),
                seen=_text(given, "seen") or None,
            )
        except (AlreadyClosed, AlreadyVoted):
            pass  # the page it leads to says so
        except (Conflict, ValidationFailed) as refused:
            return _refused(token, refused)
        return HttpResponse(status=303, headers={**page.HEADERS, "Location": request._request.path})


def _text(given: Any, name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise ValidationFailed.of([Problem(name, "must be given once")])
    return value


def _shown(invitation: Invitation, notice: str = "", problems: Sequence[Problem] = ()) -> HttpResponse:
    html = page.render(invitation, notice=notice, problems=problems)
    return HttpResponse(html, content_type="text/html; charset=utf-8", headers=dict(page.HEADERS))


def _refused(token: str, refused: AutomateError) -> HttpResponse:
    """Show the page again, as it is now, with the reason."""
    return _shown(read_link(token), refused.message, refused.details)
