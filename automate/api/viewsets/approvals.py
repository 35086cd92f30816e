"""The REST resource approval: list what is asked, read it, approve or reject it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate.approvals.assignees import assigned_to
from automate.approvals.states import in_state, with_state
from automate.approvals.verbs import MAX_COMMENT_LENGTH, UNCHANGED, decide, digest
from automate.enums import ApprovalStatus, Decision
from automate.models import Approval, ApprovalVote
from automate_api import filters
from automate_api.bodies import BodySerializer, valid
from automate_api.v1.base import BaseReadOnlyViewSet
from automate_core.errors import AccessDenied
from automate_core.models import Role

ASSIGNED = ("ME", "ALL")
_FILTERS: Mapping[str, filters.Reader] = {
    "status": partial(filters.choice, choices=ApprovalStatus.values),
    "assigned": partial(filters.choice, choices=ASSIGNED),
}


class VoteSerializer(serializers.ModelSerializer[ApprovalVote]):
    """A vote that was cast."""

    by = serializers.CharField(source="voter_name", read_only=True)
    at = serializers.DateTimeField(source="created_at", read_only=True)

    class Meta:
        model = ApprovalVote
        fields = ["by", "decision", "comment", "data", "at"]
        read_only_fields = fields


class ApprovalListSerializer(serializers.ModelSerializer[Approval]):
    """An approval as a row of the list."""

    status = serializers.ChoiceField(source="state", choices=ApprovalStatus.choices, read_only=True)
    execution_id = serializers.UUIDField(read_only=True)

    class Meta:
        model = Approval
        fields = [
            "id",
            "title",
            "status",
            "execution_id",
            "path",
            "required",
            "voters",
            "deadline",
            "created_at",
            "closed_at",
        ]
        read_only_fields = fields


class ApprovalSerializer(ApprovalListSerializer):
    """An approval with everything a voter needs, and the votes so far."""

    seen = serializers.SerializerMethodField(help_text="send it back with a vote to vote on this data only")
    votes = VoteSerializer(many=True, read_only=True)

    class Meta(ApprovalListSerializer.Meta):
        fields = [
            *ApprovalListSerializer.Meta.fields,
            "message",
            "assignees",
            "reject_on",
            "form",
            "data",
            "seen",
            "votes",
        ]
        read_only_fields = fields

    def get_seen(self, approval: Approval) -> str:
        """Return the digest of the data."""
        return digest(approval.data)


class CastSerializer(BodySerializer):
    """A vote to be cast."""

    comment = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=MAX_COMMENT_LENGTH
    )
    seen = serializers.CharField(required=False, allow_null=True, default=None, max_length=64)


class ApproveSerializer(CastSerializer):
    """An approval to be given; `data` replaces the data, as far as the form allows."""

    data = serializers.JSONField(required=False)  # type: ignore[assignment]


@extend_schema_view(
    list=extend_schema(
        responses=ApprovalListSerializer(many=True),
        parameters=[
            OpenApiParameter("status", str, enum=ApprovalStatus.values),
            OpenApiParameter(
                "assigned",
                str,
                enum=["me", "all"],
                description="me, except for admins, who see all when it is absent",
            ),
        ],
    )
)
class ApprovalViewSet(BaseReadOnlyViewSet):
    """Read what people are asked, newest first, and decide it. Who may decide is up to the approval, not to roles."""

    queryset = Approval.all_tenants.all()
    serializer_class = ApprovalSerializer
    list_serializer_class = ApprovalListSerializer
    api_scope = "approvals"
    unique_keys = True
    required_roles = {"approve": Role.VIEWER, "reject": Role.VIEWER}

    def get_queryset(self) -> QuerySet[Any]:
        """Return the tenant's approvals with their state, and their votes where they are shown."""
        approvals = with_state(super().get_queryset())
        if self.action == "list":
            return approvals
        return approvals.prefetch_related(Prefetch("votes", ApprovalVote.all_tenants.order_by("id")))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by its query parameters, newest first."""
        if self.action != "list":
            return queryset
        asked = filters.read(self.request.query_params, _FILTERS)
        if asked["status"] is not None:
            queryset = in_state(queryset, asked["status"])
        if (asked["assigned"] or ("ALL" if self.principal.may(Role.ADMIN) else "ME")) == "ME":
            user = self.principal.user
            queryset = queryset.none() if user is None else assigned_to(queryset, user)
        return queryset.order_by("-id")

    @extend_schema(request=ApproveSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str | None = None) -> Response:
        """Vote for it; the workflow goes on when enough have."""
        return self._vote(request, Decision.APPROVE, ApproveSerializer)

    @extend_schema(request=CastSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str | None = None) -> Response:
        """Vote against it."""
        return self._vote(request, Decision.REJECT, CastSerializer)

    def _vote(self, request: Request, decision: Decision, shape: type[CastSerializer]) -> Response:
        approval = self.get_object()
        if self.principal.user is None:
            raise AccessDenied("Only a person can decide: use a session, a token or an API key of a user")
        given = valid(shape, request)
        decide(
            approval,
            by=self.principal.user,
            decision=decision,
            data=given.get("data", UNCHANGED),
            comment=given["comment"],
            seen=given["seen"],
        )
        return Response(self.get_serializer(self.get_object()).data)
