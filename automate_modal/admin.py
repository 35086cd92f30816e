"""Endpoints, jobs, their events and artifacts in the admin: to look at; endpoints are switched, jobs cancelled."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from automate_core.admin_actions import actor, apply_to_each, question
from automate_core.admin_base import (
    HistoryAdmin,
    HistoryInline,
    error_text,
    moment,
    pretty_json,
    short_id,
    state,
)
from automate_core.admin_large import LargeAdmin
from automate_core.models import Role
from automate_modal import jobs
from automate_modal.endpoints import change_endpoint
from automate_modal.models import Artifact, Endpoint, Job, JobEvent
from automate_modal.states import with_live


@admin.register(Endpoint)
class EndpointAdmin(HistoryAdmin):
    """Endpoints are made and changed through the API; here they are switched on and off."""

    list_display = ("slug", "name", "kind", "shown_enabled", "tenant", "updated", "history")
    list_filter = ("enabled", "kind", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("slug", "name", "description", "=id")
    date_hierarchy = "created_at"
    ordering = ("slug", "id")
    fields = (
        "id", "tenant", "slug", "name", "description", "kind", "shown_enabled", "shown_config", "shown_schema",
        "created_at", "updated_at", "history",
    )  # fmt: skip
    actions = ("enable", "disable")

    @admin.display(description="state", ordering="enabled")
    def shown_enabled(self, endpoint: Endpoint) -> SafeString:
        """Show whether it is switched on."""
        return state("on" if endpoint.enabled else "off")

    @admin.display(description="updated at", ordering="updated_at")
    def updated(self, endpoint: Endpoint) -> SafeString:
        """Show when it last changed."""
        return moment(endpoint.updated_at)

    @admin.display(description="config")
    def shown_config(self, endpoint: Endpoint) -> SafeString:
        """Show what it runs."""
        return pretty_json(endpoint.config)

    @admin.display(description="input schema")
    def shown_schema(self, endpoint: Endpoint) -> SafeString:
        """Show what input it takes."""
        return pretty_json(endpoint.input_schema)

    @admin.display(description="history")
    def history(self, endpoint: Endpoint) -> SafeString:
        """Link to its jobs."""
        url = reverse("admin:automate_modal_job_changelist")
        return format_html('<a href="{}?endpoint__id__exact={}">jobs</a>', url, endpoint.pk)

    @admin.action(description="Switch the selected endpoints on", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        """Switch them on."""
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Switch the selected endpoints off", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        """Switch them off: calls are refused, jobs under way go on."""
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Endpoint], *, enabled: bool) -> None:
        apply_to_each(
            request,
            queryset,
            lambda endpoint: change_endpoint(endpoint, by=actor(request), enabled=enabled),
            done="switched on" if enabled else "switched off",
            role=Role.EDITOR,
        )


class JobEventInline(HistoryInline):
    """What happened in a job, in order."""

    model = JobEvent
    ordering = ("number",)
    verbose_name_plural = "events"
    fields = ("number", "type", "shown_data", "created_at")
    readonly_fields = fields

    @admin.display(description="data")
    def shown_data(self, event: JobEvent) -> SafeString:
        """Show what happened."""
        return pretty_json(event.data)


class ArtifactInline(HistoryInline):
    """The files a job left behind."""

    model = Artifact
    ordering = ("id",)
    fields = ("name", "content_type", "size", "sha256", "created_at")
    readonly_fields = fields


@admin.register(Job)
class JobAdmin(LargeAdmin):
    """Calls of endpoints, and how they stand now."""

    list_display = ("short_id", "endpoint", "shown_status", "error_code", "created", "created_by", "tenant")
    list_filter = ("kind", "created_at", "tenant")
    list_select_related = ("endpoint", "tenant")
    search_fields = ("endpoint__slug", "created_by", "error_message")
    id_fields = ("id", "run_id")
    trace_field = "trace_id"
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (
            "endpoint", "shown_status", ("created", "started", "finished"), "shown_error", "shown_input",
            "shown_output",
        )}),
        ("More", {"classes": ("collapse",), "fields": (
            "id", "tenant", "kind", "run_id", "trace_id", "created_by", "cancel_requested_at", "wants_artifact",
        )}),
    )  # fmt: skip
    inlines = (ArtifactInline, JobEventInline)
    actions = ("cancel",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the jobs with what is true of them now."""
        return with_live(super().get_queryset(request))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the link from an endpoint to its jobs."""
        return lookup == "endpoint__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="id", ordering="id")
    def short_id(self, job: Job) -> SafeString:
        """Show what tells it apart."""
        return short_id(job.id)

    @admin.display(description="status")
    def shown_status(self, job: Any) -> SafeString:
        """Show the status of its run."""
        return state(job.live_status)

    @admin.display(description="created at", ordering="created_at")
    def created(self, job: Job) -> SafeString:
        """Show when it was called."""
        return moment(job.created_at)

    @admin.display(description="started at")
    def started(self, job: Any) -> SafeString:
        """Show when it started."""
        return moment(job.live_started_at)

    @admin.display(description="finished at")
    def finished(self, job: Any) -> SafeString:
        """Show when it finished."""
        return moment(job.live_finished_at)

    @admin.display(description="error")
    def shown_error(self, job: Job) -> SafeString:
        """Show why it failed."""
        return error_text(job.error_code, job.error_message)

    @admin.display(description="input")
    def shown_input(self, job: Job) -> SafeString:
        """Show the input."""
        return pretty_json(job.input)

    @admin.display(description="output")
    def shown_output(self, job: Job) -> SafeString:
        """Show the output."""
        return pretty_json(job.output)

    @admin.action(description="Cancel the selected jobs", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        """End each: at once, or as soon as what is at work on it has stopped."""
        asked = question(
            request,
            self,
            queryset,
            action="cancel",
            title="Cancel these jobs?",
            warning="A cancelled job does not go on.",
            button="Cancel the jobs",
        )
        if asked is not None:
            return asked
        by = actor(request)
        apply_to_each(
            request,
            queryset,
            lambda job: jobs.cancel(job, by=by),
            done="cancelled or asked to stop",
            role=Role.RUNNER,
        )
        return None


@admin.register(JobEvent)
class JobEventAdmin(LargeAdmin):
    """What happened in jobs."""

    list_display = ("job_id", "number", "type", "created", "tenant")
    list_filter = ("type", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("type",)
    id_fields = ("id", "job_id")
    ordering = ("-id",)
    fields = ("id", "tenant", "job", "number", "type", "shown_data", "created_at")

    @admin.display(description="created at", ordering="created_at")
    def created(self, event: JobEvent) -> SafeString:
        """Show when it happened."""
        return moment(event.created_at)

    @admin.display(description="data")
    def shown_data(self, event: JobEvent) -> SafeString:
        """Show what happened."""
        return pretty_json(event.data)


@admin.register(Artifact)
class ArtifactAdmin(LargeAdmin):
    """The files jobs left behind; they are downloaded over the API."""

    list_display = ("name", "content_type", "size", "job_id", "created", "tenant")
    list_filter = ("content_type", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("name", "sha256")
    id_fields = ("id", "job_id")
    ordering = ("-id",)
    fields = ("id", "tenant", "job", "name", "content_type", "size", "sha256", "stored_at", "created_at")

    @admin.display(description="place in the storage")
    def stored_at(self, artifact: Artifact) -> str:
        """Show where the file is, without a link: the storage's own may be open to everybody."""
        return str(artifact.file.name)

    @admin.display(description="created at", ordering="created_at")
    def created(self, artifact: Artifact) -> SafeString:
        """Show when it was stored."""
        return moment(artifact.created_at)
