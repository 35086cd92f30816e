"""Events, executions and step runs in the admin: read-only; executions can be replayed."""

from __future__ import annotations

from datetime import datetime

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from automate.executions import control
from automate.models import Event, Execution, StepRun
from automate.replays import replay
from automate_core.admin_actions import actor, apply_to_each, question
from automate_core.admin_base import (
    HistoryInline,
    error_text,
    moment,
    pretty_json,
    short_id,
    shown_redacted,
    state,
)
from automate_core.admin_large import LargeAdmin
from automate_core.models import Role


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
class EventAdmin(LargeAdmin):
    """What happened."""

    empty_hint = (
        "No event: emit one with `manage.py automate_emit`, over the API, or let a webhook source receive one"
    )

    list_display = ("type", "source", "tenant", "dedupe_key", "created", "short_id")
    list_filter = ("source", "created_at", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("type", "dedupe_key")
    trace_field = "trace_id"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "type", "source", "dedupe_key", "trace_id", "cause_execution_id", "depth", "created_at",
        "pruned_at", "shown_payload",
    )  # fmt: skip

    @admin.display(description="id", ordering="id")
    def short_id(self, event: Event) -> SafeString:
        """Show what tells it apart."""
        return short_id(event.id)

    @admin.display(description="created at", ordering="created_at")
    def created(self, event: Event) -> SafeString:
        """Show when it came."""
        return moment(event.created_at)

    @admin.display(description="payload")
    def shown_payload(self, event: Event) -> SafeString:
        """Show the payload, redacted."""
        return shown_redacted(event.payload)


@admin.register(Execution)
class ExecutionAdmin(LargeAdmin):
    """What ran, how it ended, and its steps."""

    empty_hint = (
        "No execution: start a workflow with `manage.py automate_run`, or emit an event that triggers one"
    )

    list_display = (
        "short_id", "workflow", "shown_status", "error_code", "created", "took", "tenant",
    )  # fmt: skip
    list_filter = ("status", "error_code", "created_at", "tenant")
    list_select_related = ("automation", "version", "tenant")
    search_fields = ("automation__slug", "automation__name", "error_summary")
    trace_field = "trace_id"
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (
            ("automation", "version"), ("event", "trigger"), ("shown_status", "took"),
            ("created", "started", "finished"), "error_code", "error_summary", "shown_context", "shown_output",
        )}),
        ("More", {"classes": ("collapse",), "fields": (
            "id", "tenant", "trace_id", ("attempt", "replay_of"), ("priority", "key"),
            ("cause_execution_id", "depth"), ("parent_execution_id", "parent_path"),
            ("cancel_requested_at", "paused_at", "held_at"),
        )}),
    )  # fmt: skip
    inlines = (StepRunInline,)
    actions = ("replay", "cancel", "pause", "resume")

    @admin.display(description="id", ordering="id")
    def short_id(self, execution: Execution) -> SafeString:
        """Show what tells it apart."""
        return short_id(execution.id)

    @admin.display(description="created at", ordering="created_at")
    def created(self, execution: Execution) -> SafeString:
        """Show when it was created."""
        return moment(execution.created_at)

    @admin.display(description="started at", ordering="started_at")
    def started(self, execution: Execution) -> SafeString:
        """Show when it started."""
        return moment(execution.started_at)

    @admin.display(description="finished at", ordering="finished_at")
    def finished(self, execution: Execution) -> SafeString:
        """Show when it finished."""
        return moment(execution.finished_at)

    @admin.display(description="workflow", ordering="automation__slug")
    def workflow(self, execution: Execution) -> str:
        """Show the automation and the version that runs."""
        version = f" v{execution.version.number}" if execution.version else ""
        return f"{execution.automation.slug}{version}"

    @admin.display(description="status", ordering="status")
    def shown_status(self, execution: Execution) -> SafeString:
        """Show the status."""
        return state(execution.status)

    @admin.display(description="took")
    def took(self, execution: Execution) -> str:
        """Show how long it ran."""
        return _span(execution.started_at, execution.finished_at)

    @admin.display(description="context")
    def shown_context(self, execution: Execution) -> SafeString:
        """Show the context, redacted."""
        return shown_redacted(execution.context)

    @admin.display(description="output")
    def shown_output(self, execution: Execution) -> SafeString:
        """Show the output."""
        return pretty_json(execution.output)

    @admin.action(description="Replay the selected executions", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        """Queue a new execution of the live version with the same input, for each."""
        by = actor(request)
        apply_to_each(
            request,
            queryset,
            lambda execution: replay(execution, by=by),
            done="queued again",
            role=Role.RUNNER,
        )

    @admin.action(description="Cancel the selected executions", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Execution]) -> TemplateResponse | None:
        """Ask once more, then end each: at once, or as soon as its worker has let its calls return."""
        page = question(
            request,
            self,
            queryset,
            action="cancel",
            title="Cancel these executions?",
            warning="They start no further step, and neither do those their steps wait for. A cancelled execution "
            "does not go on; it can only be replayed.",
            button="Cancel them",
        )
        if page is not None:
            return page
        by = actor(request)
        apply_to_each(
            request,
            queryset,
            lambda execution: control.cancel(execution, by=by),
            done="cancelled or asked to stop",
            role=Role.RUNNER,
        )
        return None

    @admin.action(description="Pause the selected executions", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        """Start no further step of each until it is resumed."""
        by = actor(request)
        apply_to_each(
            request,
            queryset,
            lambda execution: control.pause(execution, by=by),
            done="paused",
            role=Role.RUNNER,
        )

    @admin.action(description="Resume the selected executions", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        """Let each go on."""
        by = actor(request)
        apply_to_each(
            request,
            queryset,
            lambda execution: control.resume(execution, by=by),
            done="resumed",
            role=Role.RUNNER,
        )


@admin.register(StepRun)
class StepRunAdmin(LargeAdmin):
    """What a step was given, what came out, and what went wrong."""

    list_display = ("path", "attempt", "shown_status", "node_type", "of", "took", "tenant", "shown_error")
    list_filter = ("status", "effect", "node_type", "started_at", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("path", "error_code", "error_message")
    id_fields = ("id", "execution_id")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (
            "execution", ("path", "attempt"), ("shown_status", "took"), ("started", "finished"), "error_code",
            "error_message", "shown_input", "shown_output", "shown_variables",
        )}),
        ("More", {"classes": ("collapse",), "fields": (
            "id", "tenant", ("node_key", "node_type"), ("effect", "route"), "seq", "wake_at",
        )}),
    )  # fmt: skip
    actions = ("skip", "retry_now")

    @admin.display(description="status", ordering="status")
    def shown_status(self, step: StepRun) -> SafeString:
        """Show the status."""
        return state(step.status)

    @admin.display(description="execution", ordering="execution_id")
    def of(self, step: StepRun) -> SafeString:
        """Show what tells its execution apart."""
        return short_id(step.execution_id)

    @admin.display(description="started at", ordering="started_at")
    def started(self, step: StepRun) -> SafeString:
        """Show when it started."""
        return moment(step.started_at)

    @admin.display(description="finished at", ordering="finished_at")
    def finished(self, step: StepRun) -> SafeString:
        """Show when it finished."""
        return moment(step.finished_at)

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

    @admin.action(description="Skip the selected waiting steps", permissions=["operate"])
    def skip(self, request: HttpRequest, queryset: QuerySet[StepRun]) -> None:
        """Let each go on as if it had succeeded."""
        by, steps = actor(request), queryset.select_related("execution")
        apply_to_each(
            request,
            steps,
            lambda step: control.skip(step.execution, step.path, by=by),
            done="skipped",
            role=Role.RUNNER,
        )

    @admin.action(description="Retry the selected waiting steps now", permissions=["operate"])
    def retry_now(self, request: HttpRequest, queryset: QuerySet[StepRun]) -> None:
        """End the wait of each for its next try, or of a delay."""
        by, steps = actor(request), queryset.select_related("execution")
        apply_to_each(
            request,
            steps,
            lambda step: control.retry_now(step.execution, step.path, by=by),
            done="to be tried now",
            role=Role.RUNNER,
        )


def _span(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "-"
    milliseconds = max(0.0, (end - start).total_seconds() * 1000)
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"
