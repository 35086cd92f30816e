"""The resume route: whoever has a waiting step's one-time URL answers the step with a POST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from automate.executions.signals import Answer
from automate.waits.tokens import resume
from automate_api.errors import MalformedBody, PayloadTooLarge
from automate_api.parsing import StrictJSONParser
from automate_api.throttling import RateThrottle
from automate_api.v1.base import BaseAPIView, PublicAPIMixin
from automate_core import conf
from automate_core.context import current_trace_id
from automate_core.redaction import redact

KEPT_HEADERS = ("Content-Type", "User-Agent", "X-Request-ID", "X-Event-Type")
"""Request headers the workflow sees; all others stay out of its history."""

_RESUMED = inline_serializer(
    "Resumed", {"message": serializers.CharField(), "trace_id": serializers.CharField()}
)


class FormParser(BaseParser):
    """Reads a URL-encoded form: a text for each field, a list of texts for one that is sent several times."""

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the fields.

        Raises:
            MalformedBody: the body is not UTF-8.
            PayloadTooLarge: more than `AUTOMATE["BODY_LIMIT_BYTES"]`.
        """
        limit = conf.get().BODY_LIMIT_BYTES
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes")
        try:
            return _fields(QueryDict(data.decode()))
        except UnicodeDecodeError as error:
            raise MalformedBody("The form is not UTF-8") from error


class ResumeView(PublicAPIMixin, BaseAPIView):
    """POST answers the step that waits for the URL, once. Nothing else does anything: link scanners send GET."""

    parser_classes: Sequence[Any] = (StrictJSONParser, FormParser)

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the limit of webhooks, by address."""
        return [RateThrottle(scope="WEBHOOK", by_address=True)]

    @extend_schema(
        operation_id="automate_resume",
        request=OpenApiTypes.OBJECT,
        responses={202: _RESUMED},
        description="Answer the step that waits for this URL with a JSON object or a URL-encoded form. A token that "
        "is unknown, used or expired is 404.",
    )
    def post(self, request: Request, token: str) -> Response:
        """Answer the waiting step."""
        # The body is read first: a token is only spent on one that can be kept.
        output = {
            "body": request.data,
            "query": _fields(request.query_params),
            "headers": {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers},
        }
        resume(token, Answer(redact(output), "main"))
        return Response({"message": "The workflow goes on", "trace_id": current_trace_id()}, status=202)


def _fields(given: QueryDict) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else values for name, values in given.lists()}
