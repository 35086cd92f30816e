"""Events, executions and step runs in the admin: read-only; executions can be replayed."""

from __future__ import annotations

from datetime import datetime

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from automate.executions import verbs
from automate.models import Event, Execution, StepRun
from automate_core.admin_base import (
    HistoryAdmin,
    HistoryInline,
    apply_to_each,
    error_text,
    pretty_json,
    state,
)


class StepRunInline(HistoryInline):
    """The steps of an execution, in the order things happened."""

    model = StepRun
    ordering = ("seq", "id")
    verbose_name_plural = "steps"
    fields = ("path", "attempt", "shown_status", "node_type", "route", "took", "wake_at", "shown_error")
    readonly_fields = fields

    @admin.display(description="status")
    def shown_status(self, step: StepRun) -> SafeString:
        """Show the status."""
        return state(step.status)

    @admin.display(description="took")
    def took(self, step: StepRun) -> str:
        """Show how long it ran."""
        return _span(step.started_at, step.finished_at)

    @admin.display(description="error")
    def shown_error(self, step: StepRun) -> SafeString:
        """Show the error."""
        return error_text(step.error_code, step.error_message)


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    """What happened."""

    list_display = ("type", "source", "tenant", "dedupe_key", "created_at", "id")
    list_filter = ("source", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("type", "dedupe_key", "trace_id", "=id")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "type", "source", "dedupe_key", "trace_id", "cause_execution_id", "depth", "created_at",
        "pruned_at", "shown_payload",
    )  # fmt: skip

    @admin.display(description="payload")
    def shown_payload(self, event: Event) -> SafeString:
        """Show the payload."""
        return pretty_json(event.payload)


@admin.register(Execution)
class ExecutionAdmin(HistoryAdmin):
    """What ran, how it ended, and its steps."""

    list_display = (
        "id", "automation", "version_number", "shown_status", "tenant", "created_at", "took", "shown_error",
    )  # fmt: skip
    list_filter = ("status", "error_code", "tenant")
    list_select_related = ("automation", "version", "tenant")
    search_fields = ("=id", "automation__slug", "automation__name", "trace_id", "error_summary")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "automation", "version", "event", "trigger", "replay_of", "shown_status", "attempt", "key",
        "priority", "trace_id", "cause_execution_id", "depth", "error_code", "error_summary", "created_at",
        "started_at", "finished_at", "cancel_requested_at", "shown_context",
    )  # fmt: skip
    inlines = (StepRunInline,)
    actions = ("replay",)

    @admin.display(description="version", ordering="version__number")
    def version_number(self, execution: Execution) -> str:
        """Show the version's number."""
        return f"v{execution.version.number}" if execution.version else "-"

    @admin.display(description="status", ordering="status")
    def shown_status(self, execution: Execution) -> SafeString:
        """Show the status."""
        return state(execution.status)

    @admin.display(description="took")
    def took(self, execution: Execution) -> str:
        """Show how long it ran."""
        return _span(execution.started_at, execution.finished_at)

    @admin.display(description="error")
    def shown_error(self, execution: Execution) -> SafeString:
        """Show the error."""
        return error_text(execution.error_code, execution.error_summary)

    @admin.display(description="context")
    def shown_context(self, execution: Execution) -> SafeString:
        """Show the context."""
        return pretty_json(execution.context)

    @admin.action(description="Replay the selected executions", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        """Queue a new execution of the live version with the same input, for each."""
        apply_to_each(request, queryset.select_related("automation"), verbs.replay, done="queued again")


@admin.register(StepRun)
class StepRunAdmin(HistoryAdmin):
    """What a step was given, what came out, and what went wrong."""

    list_display = (
        "path",
        "attempt",
        "shown_status",
        "node_type",
        "execution_id",
        "tenant",
        "took",
        "shown_error",
    )
    list_filter = ("status", "effect", "node_type", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("=execution__id", "path", "error_code", "error_message")
    date_hierarchy = "started_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "execution", "path", "node_key", "node_type", "attempt", "shown_status", "effect", "route",
        "seq", "error_code", "error_message", "wake_at", "started_at", "finished_at", "shown_input", "shown_output",
        "shown_variables",
    )  # fmt: skip

    @admin.display(description="status", ordering="status")
    def shown_status(self, step: StepRun) -> SafeString:
        """Show the status."""
        return state(step.status)

    @admin.display(description="took")
    def took(self, step: StepRun) -> str:
        """Show how long it ran."""
        return _span(step.started_at, step.finished_at)

    @admin.display(description="error")
    def shown_error(self, step: StepRun) -> SafeString:
        """Show the error."""
        return error_text(step.error_code, step.error_message)

    @admin.display(description="input")
    def shown_input(self, step: StepRun) -> SafeString:
        """Show the rendered config the step was called with."""
        return pretty_json(step.input_data)

    @admin.display(description="output")
    def shown_output(self, step: StepRun) -> SafeString:
        """Show the output."""
        return pretty_json(step.output_data)

    @admin.display(description="variables")
    def shown_variables(self, step: StepRun) -> SafeString:
        """Show the variables the step set."""
        return pretty_json(step.variables)


def _span(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "-"
    milliseconds = max(0.0, (end - start).total_seconds() * 1000)
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"
