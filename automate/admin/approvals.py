"""Approvals in the admin: their history to look at, and deciding as the user who is logged in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from automate.approvals.states import in_state, with_state
from automate.approvals.verbs import MAX_COMMENT_LENGTH, decide
from automate.enums import ApprovalStatus, Decision
from automate.models import Approval, ApprovalVote
from automate_core.admin_actions import apply_to_each
from automate_core.admin_base import (
    HistoryAdmin,
    HistoryInline,
    moment,
    pretty_json,
    short_id,
    state,
)
from automate_core.models import Role


class StateFilter(admin.SimpleListFilter):
    """Narrows the list by the state an approval is in, which may be later than what is stored."""

    title = "status"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states."""
        return [(value, str(label)) for value, label in ApprovalStatus.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        state = self.value()
        return in_state(queryset, state) if state in ApprovalStatus.values else queryset


class VoteInline(HistoryInline):
    """The votes on an approval, in the order they were cast."""

    model = ApprovalVote
    ordering = ("id",)
    verbose_name_plural = "votes"
    show_change_link = False
    fields = ("voter_name", "decision", "comment", "shown_data", "at")
    readonly_fields = fields

    @admin.display(description="data changed to")
    def shown_data(self, vote: ApprovalVote) -> SafeString:
        """Show what the voter changed the data to."""
        return pretty_json(vote.data)

    @admin.display(description="at")
    def at(self, vote: ApprovalVote) -> SafeString:
        """Show when."""
        return moment(vote.created_at)


@admin.register(Approval)
class ApprovalAdmin(HistoryAdmin):
    """What people were asked, and what they said."""

    list_display = ("title", "shown_state", "of", "required", "voters", "shown_deadline", "created", "tenant")
    list_filter = (StateFilter, "tenant")
    list_select_related = ("tenant",)
    search_fields = ("=id", "=execution__id", "title")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (
            "title", "message", ("shown_state", "required", "voters", "reject_on"), ("shown_deadline", "closed"),
            "shown_assignees", "shown_data", "shown_form",
        )}),
        ("More", {"classes": ("collapse",), "fields": (
            "id", "tenant", "execution", ("path", "attempt"), "created",
        )}),
    )  # fmt: skip
    inlines = (VoteInline,)
    actions = ("approve", "reject")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return every tenant's approvals with their state."""
        return with_state(super().get_queryset(request))

    @admin.display(description="status")
    def shown_state(self, approval: Any) -> SafeString:
        """Show the state."""
        return state(approval.state)

    @admin.display(description="execution", ordering="execution_id")
    def of(self, approval: Approval) -> SafeString:
        """Show what tells its execution apart."""
        return short_id(approval.execution_id)

    @admin.display(description="deadline", ordering="deadline")
    def shown_deadline(self, approval: Approval) -> SafeString:
        """Show until when a vote counts."""
        return moment(approval.deadline)

    @admin.display(description="created at", ordering="created_at")
    def created(self, approval: Approval) -> SafeString:
        """Show when it was asked."""
        return moment(approval.created_at)

    @admin.display(description="closed at", ordering="closed_at")
    def closed(self, approval: Approval) -> SafeString:
        """Show when it was decided or called off."""
        return moment(approval.closed_at)

    @admin.display(description="assignees")
    def shown_assignees(self, approval: Approval) -> SafeString:
        """Show who may vote."""
        return pretty_json(approval.assignees)

    @admin.display(description="data")
    def shown_data(self, approval: Approval) -> SafeString:
        """Show the data as it is now."""
        return pretty_json(approval.data)

    @admin.display(description="form")
    def shown_form(self, approval: Approval) -> SafeString:
        """Show the JSON Schema of the data."""
        return pretty_json(approval.form)

    @admin.action(description="Approve the selected approvals", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Approval]) -> TemplateResponse | None:
        """Ask once more, then vote for each as the user."""
        return self._vote(request, queryset, Decision.APPROVE)

    @admin.action(description="Reject the selected approvals", permissions=["operate"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Approval]) -> TemplateResponse | None:
        """Ask once more, then vote against each as the user."""
        return self._vote(request, queryset, Decision.REJECT)

    def _vote(
        self, request: HttpRequest, queryset: QuerySet[Approval], decision: Decision
    ) -> TemplateResponse | None:
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": f"{decision.label} these approvals?",
                "opts": self.model._meta,
                "approvals": queryset,
                "decision": decision,
                "checkbox": ACTION_CHECKBOX_NAME,
                "longest": MAX_COMMENT_LENGTH,
            }
            return TemplateResponse(request, "automate/confirm_vote.html", context)
        comment = request.POST.get("comment", "")
        apply_to_each(
            request,
            queryset,
            lambda approval: decide(approval, by=request.user, decision=decision, comment=comment),
            done="voted on",
            role=Role.VIEWER,
        )
        return None


@admin.register(ApprovalVote)
class ApprovalVoteAdmin(HistoryAdmin):
    """Who said what to what was asked."""

    list_display = ("approval", "voter_name", "decision", "at", "tenant")
    list_filter = ("decision", "created_at", "tenant")
    list_select_related = ("approval", "tenant")
    search_fields = ("=approval__id", "voter_name", "comment")
    ordering = ("-id",)
    fields = ("id", "tenant", "approval", "voter", "voter_name", "decision", "comment", "shown_data", "at")

    @admin.display(description="data changed to")
    def shown_data(self, vote: ApprovalVote) -> SafeString:
        """Show what the voter changed the data to."""
        return pretty_json(vote.data)

    @admin.display(description="at", ordering="created_at")
    def at(self, vote: ApprovalVote) -> SafeString:
        """Show when."""
        return moment(vote.created_at)
