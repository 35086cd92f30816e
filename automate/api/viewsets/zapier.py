"""Zapier's REST hooks: which events there are, subscribing a URL to them, and unsubscribing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate.models import WebhookSubscription
from automate.models.subscription import URL_LENGTH
from automate.subscriptions import samples, verbs
from automate_api.bodies import BodySerializer, valid
from automate_api.idempotency import ConfidentialResponse
from automate_api.v1.base import BaseViewSet
from automate_core.errors import Problem, ValidationFailed
from automate_core.models import Role

_SAMPLE = {
    "id": "0190a5f0-6c8e-7d3a-9b1e-2f4c5d6e7f80",
    "type": "order.created",
    "source": "stripe",
    "payload": {"order_id": "ORD-123", "amount": 99.99, "customer_name": "John Doe"},
    "trace_id": "abc123-def456",
    "created_at": "2024-01-20T14:45:00Z",
}
_SUBSCRIPTION = {
    "id": "0190a5f1-11d0-7c55-8a2b-6b1f0c9d8e7f",
    "event_type": "order.created",
    "callback_url": "https://hooks.zapier.com/hooks/standard/1/abc/",
    "created_at": "2024-01-20T14:45:00Z",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}

_EVENT_TYPE_NAMES = ("event_type", "event", "trigger")
_URL_NAMES = ("callback_url", "target_url", "hookUrl")


class SpellingsSerializer(BodySerializer):
    """A body whose fields may also have the names Zapier's own examples give them."""

    spellings: ClassVar[Sequence[Sequence[str]]] = (_EVENT_TYPE_NAMES, _URL_NAMES)

    def to_internal_value(self, data: Any) -> Any:
        """Rename the fields, then read them."""
        if isinstance(data, Mapping):
            data = dict(data)
            for name, *others in self.spellings:
                for other in others:
                    if other in data:
                        data.setdefault(name, data[other])
        return super().to_internal_value(data)


class TriggerSerializer(serializers.Serializer[Any]):
    """A type of events one can subscribe to, with samples of what is delivered."""

    id = serializers.CharField()
    name = serializers.CharField()
    event_type = serializers.CharField()
    samples = serializers.ListField(child=serializers.DictField())


class SubscribeSerializer(SpellingsSerializer):
    """A subscription to be made."""

    event_type = serializers.CharField(
        max_length=255, help_text="also `event`; a glob such as order.* is allowed"
    )
    callback_url = serializers.CharField(
        max_length=URL_LENGTH, help_text="also `target_url` or `hookUrl`; https"
    )


class SubscribedSerializer(serializers.ModelSerializer[WebhookSubscription]):
    """A new subscription, with the secret its calls are signed with."""

    secret = serializers.CharField(help_text="shown this once")

    class Meta:
        model = WebhookSubscription
        fields = ["id", "event_type", "callback_url", "created_at", "secret"]
        read_only_fields = fields


class UnsubscribeSerializer(SpellingsSerializer):
    """Which subscription to end: its `id`, or all of a `callback_url`."""

    id = serializers.UUIDField(required=False)
    callback_url = serializers.CharField(max_length=URL_LENGTH, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what names no subscription."""
        if not attrs:
            raise serializers.ValidationError({"id": "Give the id of the subscription, or its callback_url"})
        return attrs


class ZapierViewSet(BaseViewSet):
    """Zapier's REST hooks.

    Override points: `available_triggers` lists the types offered and accepted, each an event type or a mapping
    with `event_type` and `name`; when empty, those are offered that the tenant's events, triggers and subscriptions
    have, and any is accepted. `validate_callback_url` decides which URLs are called.
    """

    queryset = WebhookSubscription.all_tenants.all()
    serializer_class = SubscribeSerializer
    pagination_class = None  # type: ignore[assignment]
    api_scope = "zapier"
    unique_keys = True
    required_roles = {"triggers": Role.VIEWER, "subscribe": Role.EDITOR, "unsubscribe": Role.EDITOR}
    available_triggers: ClassVar[Sequence[str | Mapping[str, str]]] = []

    def validate_callback_url(self, url: str) -> str | bool:
        """Return the URL that will be called, or raise: it has to be https and public, or on the allow-list.

        An override may also return whether `url` is good. Whatever it says, deliveries go through the guarded client.
        """
        return verbs.checked_callback_url(url)

    @extend_schema(
        responses=TriggerSerializer(many=True),
        examples=[
            OpenApiExample(
                "triggers",
                value=[
                    {"id": "order.created", "name": "Order created", "event_type": "order.created",
                     "samples": [_SAMPLE]}
                ],
                response_only=True,
            )
        ],
    )  # fmt: skip
    @action(detail=False, methods=["get"])
    def triggers(self, request: Request) -> Response:
        """List the types of events, with samples."""
        offered = self._offered()
        found = samples.samples([one["event_type"] for one in offered])
        return Response([{**one, "samples": found[one["event_type"]]} for one in offered])

    @extend_schema(
        request=SubscribeSerializer,
        responses={201: SubscribedSerializer},
        examples=[
            OpenApiExample(
                "subscribe",
                value={name: _SUBSCRIPTION[name] for name in ("event_type", "callback_url")},
                request_only=True,
            ),
            OpenApiExample("subscribed", value=_SUBSCRIPTION, response_only=True, status_codes=["201"]),
        ],
    )
    @action(detail=False, methods=["post"])
    def subscribe(self, request: Request) -> Response:
        """Deliver every event of a type to a URL."""
        given = self._checked(valid(SubscribeSerializer, request, others=self._problems))
        made = verbs.subscribe(**given, by=self.principal.id)
        made.subscription.secret = made.secret  # type: ignore[attr-defined]
        return ConfidentialResponse(SubscribedSerializer(made.subscription).data, status=201)

    @extend_schema(
        request=UnsubscribeSerializer,
        responses={204: None},
        parameters=[
            OpenApiParameter("id", OpenApiTypes.UUID, description="instead of a body"),
            OpenApiParameter("callback_url", OpenApiTypes.URI, description="instead of a body"),
        ],
        examples=[OpenApiExample("unsubscribe", value={"id": _SUBSCRIPTION["id"]}, request_only=True)],
    )
    @action(detail=False, methods=["post", "delete"])
    def unsubscribe(self, request: Request) -> Response:
        """End a subscription, or all of a URL."""
        given = request.query_params.dict() if _is_empty(request.data) else None
        for subscription in verbs.find(**valid(UnsubscribeSerializer, request, data=given)):
            verbs.unsubscribe(subscription, by=self.principal.id)
        return Response(status=204)

    def _problems(self, given: Mapping[str, Any]) -> Sequence[Problem]:
        try:
            self._checked(given)
        except ValidationFailed as error:
            return error.details
        return ()

    def _checked(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the fields of a subscription as they are used; raises ValidationFailed with every wrong one."""
        checked: dict[str, str] = {}
        wrong: list[Problem] = []
        for name, check in (("event_type", self._offered_type), ("callback_url", self._callback_url)):
            try:
                if name in given:
                    checked[name] = check(given[name])
            except ValidationFailed as error:
                wrong += error.details
        if wrong:
            raise ValidationFailed.of(wrong)
        return checked

    def _callback_url(self, url: str) -> str:
        checked = self.validate_callback_url(url)
        if not checked:
            raise ValidationFailed.of([Problem("callback_url", "is not a URL this service calls")])
        return url if checked is True else checked

    def _offered(self) -> list[dict[str, str]]:
        declared = [_as_mapping(one) for one in self.available_triggers or samples.known_types()]
        return [
            {
                "id": one["event_type"],
                "name": one.get("name") or samples.name_of(one["event_type"]),
                "event_type": one["event_type"],
            }
            for one in declared
        ]

    def _offered_type(self, event_type: str) -> str:
        offered = [_as_mapping(one)["event_type"] for one in self.available_triggers]
        if offered and event_type not in offered:
            raise ValidationFailed.of([Problem("event_type", f"must be one of {', '.join(offered)}")])
        return event_type


def _as_mapping(declared: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"event_type": declared} if isinstance(declared, str) else declared


def _is_empty(data: Any) -> bool:
    return data is None or data == {} or data == ""
