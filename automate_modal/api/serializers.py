"""The shapes of endpoints, jobs, their events and artifacts."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from automate_api.bodies import BodySerializer
from automate_core.endpoints import RunStatus, endpoint_registry
from automate_modal.models import Artifact, Endpoint, Job, JobEvent


class EndpointListSerializer(serializers.ModelSerializer[Endpoint]):
    """An endpoint as a row of the list."""

    class Meta:
        model = Endpoint
        fields = ["id", "name", "slug", "kind", "enabled", "created_at", "updated_at"]
        read_only_fields = fields


class EndpointSerializer(EndpointListSerializer):
    """An endpoint with what it runs and what input it takes."""

    config = serializers.DictField(read_only=True)
    input_schema = serializers.DictField(read_only=True, allow_null=True)

    class Meta(EndpointListSerializer.Meta):
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "kind",
            "config",
            "input_schema",
            "enabled",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class EndpointWriteSerializer(BodySerializer):
    """What a client may say about an endpoint; name and kind are needed to create one."""

    name = serializers.CharField(max_length=200)
    slug = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    kind = serializers.CharField(max_length=32)
    config = serializers.DictField(required=False)
    input_schema = serializers.DictField(required=False, allow_null=True)
    enabled = serializers.BooleanField(required=False)


class JobStartSerializer(BodySerializer):
    """The input of a call."""

    input = serializers.DictField(required=False, default=dict)
    artifact = serializers.BooleanField(
        required=False, default=False, help_text="store the output as an artifact although it is short"
    )


class EndpointRunSerializer(JobStartSerializer):
    """The input of a call that may be waited for."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add `async`, which is no name in Python."""
        does_not_wait = serializers.BooleanField(
            required=False, default=False, help_text="answer 202 with the job at once"
        )
        return {**super().get_fields(), "async": does_not_wait}


class JobCancelSerializer(BodySerializer):
    """Why a job is cancelled, for the audit trail."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=1_000)


class JobErrorSerializer(serializers.Serializer[Any]):
    """Why a job failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class StreamedEventSerializer(serializers.Serializer[Any]):
    """An event of a stream; `data` is the JSON of its data and of when it happened."""

    id = serializers.CharField(required=False)
    event = serializers.CharField()
    data = serializers.CharField()  # type: ignore[assignment]


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    """An output file; `sha256` is in hex, `size` in bytes."""

    job_id = serializers.UUIDField(read_only=True)
    download_url = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = ["id", "job_id", "name", "content_type", "size", "sha256", "created_at", "download_url"]
        read_only_fields = fields

    def get_download_url(self, artifact: Artifact) -> str:
        """Return the path its bytes are at."""
        return reverse("modal-artifact-download", args=[artifact.pk])


class JobStatusSerializer(serializers.ModelSerializer[Job]):
    """Where a job stands; `progress` is from 0 to 1, null when nobody can tell."""

    status = serializers.ChoiceField(source="live_status", choices=RunStatus.choices, read_only=True)
    progress = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    started_at = serializers.DateTimeField(source="live_started_at", read_only=True, allow_null=True)
    finished_at = serializers.DateTimeField(source="live_finished_at", read_only=True, allow_null=True)
    duration_ms = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id",
            "status",
            "progress",
            "error",
            "created_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "cancel_requested_at",
        ]
        read_only_fields = fields

    def get_progress(self, job: Any) -> float | None:
        """Ask the backend how far an open job is."""
        if job.live_status == RunStatus.SUCCESS:
            return 1.0
        if job.live_finished_at is not None or job.kind not in endpoint_registry:
            return None
        return endpoint_registry.get(job.kind).progress(job.run_id)

    def get_error(self, job: Job) -> dict[str, str] | None:
        """Return why it failed, None when it did not."""
        if not job.error_code:
            return None
        return dict(JobErrorSerializer({"code": job.error_code, "message": job.error_message}).data)

    def get_duration_ms(self, job: Any) -> int | None:
        """Return how long it ran, None while it has not finished."""
        start, end = job.live_started_at, job.live_finished_at
        return None if start is None or end is None else round((end - start).total_seconds() * 1000)


class JobListSerializer(JobStatusSerializer):
    """A job as a row of the list."""

    endpoint_id = serializers.UUIDField(read_only=True)
    endpoint_slug = serializers.CharField(source="endpoint.slug", read_only=True)

    class Meta(JobStatusSerializer.Meta):
        fields = [
            "id",
            "endpoint_id",
            "endpoint_slug",
            "kind",
            "status",
            "created_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "cancel_requested_at",
            "trace_id",
        ]
        read_only_fields = fields


class JobSerializer(JobListSerializer):
    """A job with its input, output and artifacts; `run_id` is the id of what runs, such as an execution."""

    input = serializers.DictField(read_only=True)
    output = serializers.JSONField(read_only=True, allow_null=True)
    artifacts = ArtifactSerializer(many=True, read_only=True)

    class Meta(JobListSerializer.Meta):
        fields = [
            "id",
            "endpoint_id",
            "endpoint_slug",
            "kind",
            "run_id",
            "status",
            "progress",
            "input",
            "output",
            "error",
            "artifacts",
            "created_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "cancel_requested_at",
            "trace_id",
        ]
        read_only_fields = fields


class JobEventSerializer(serializers.ModelSerializer[JobEvent]):
    """Something that happened in a job."""

    data = serializers.DictField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = JobEvent
        fields = ["number", "type", "data", "created_at"]
        read_only_fields = fields
