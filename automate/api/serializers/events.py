"""The shapes of events."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automate.models import Event
from automate_api.bodies import BodySerializer
from automate_core.redaction import redact


class EventListSerializer(serializers.ModelSerializer[Event]):
    """An event as a row of the list."""

    class Meta:
        model = Event
        fields = ["id", "type", "source", "dedupe_key", "trace_id", "created_at"]
        read_only_fields = fields


class EventSerializer(EventListSerializer):
    """An event with its payload."""

    payload = serializers.SerializerMethodField()

    class Meta(EventListSerializer.Meta):
        fields = [*EventListSerializer.Meta.fields, "payload"]
        read_only_fields = fields

    def get_payload(self, event: Event) -> dict[str, Any]:
        """Return what happened, without secrets."""
        return dict(redact(event.payload))


class EmitSerializer(BodySerializer):
    """An event to be emitted."""

    type = serializers.CharField(max_length=255)
    payload = serializers.DictField(required=False, default=dict)
    dedupe_key = serializers.CharField(max_length=255, required=False, allow_null=True, default=None)
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=100, required=False, allow_blank=True, default=""
    )


class EmittedSerializer(serializers.Serializer[Any]):
    """The event that stands for what was emitted."""

    event_id = serializers.UUIDField()
    trace_id = serializers.CharField()
