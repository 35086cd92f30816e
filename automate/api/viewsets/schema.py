"""What tables the project has, for those who build workflows on them: names and types, never values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.apps import AppConfig
from django.apps import apps as installed
from django.db.models import Field, Model
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api.v1.base import BaseViewSet, StaffOnlyMixin
from automate_core.sensitive import names_secret

_EXAMPLE = {
    "apps": [
        {
            "label": "shop",
            "name": "Shop",
            "models": [
                {
                    "label": "shop.Order",
                    "name": "order",
                    "fields": [
                        {"name": "id", "type": "BigAutoField", "relation": None, "nullable": False,
                         "help_text": ""},
                        {"name": "customer", "type": "ForeignKey", "relation": "shop.Customer",
                         "nullable": True, "help_text": "Who pays"},
                    ],
                }
            ],
        }
    ]
}  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class DatabaseFieldSerializer(serializers.Serializer[Any]):
    """A field of a model."""

    name = serializers.CharField()
    type = serializers.CharField(help_text="class of the field, such as CharField or ForeignKey")
    relation = serializers.CharField(
        allow_null=True,
        help_text="label of the model it points to; null for none, and for one that is hidden",
    )
    nullable = serializers.BooleanField()
    help_text = serializers.CharField(allow_blank=True)  # type: ignore[assignment]


class DatabaseModelSerializer(serializers.Serializer[Any]):
    """A model: its label is the `model` of a model trigger."""

    label = serializers.CharField()  # type: ignore[assignment]
    name = serializers.CharField()
    fields = DatabaseFieldSerializer(many=True)  # type: ignore[assignment]


class DatabaseAppSerializer(serializers.Serializer[Any]):
    """An app with its models."""

    label = serializers.CharField()  # type: ignore[assignment]
    name = serializers.CharField()
    models = DatabaseModelSerializer(many=True)


class DatabaseSchemaSerializer(serializers.Serializer[Any]):
    """The apps that have models to show."""

    apps = DatabaseAppSerializer(many=True)


class SchemaViewSet(StaffOnlyMixin, BaseViewSet):
    """The apps and models of the project, for staff.

    Override point: `excluded_apps`, labels or names of the apps to hide. Models and fields whose names say that they
    hold secrets (`ApiKey`, `password`) are hidden in every app.
    """

    pagination_class = None  # type: ignore[assignment]
    api_scope = "schema"
    excluded_apps: ClassVar[Sequence[str]] = [
        "admin",
        "auth",
        "authtoken",
        "automate_api",
        "automate_core",
        "contenttypes",
        "oauth2_provider",
        "sessions",
        "token_blacklist",
    ]

    @extend_schema(
        request=None,
        responses=DatabaseSchemaSerializer,
        examples=[OpenApiExample("apps", value=_EXAMPLE, response_only=True)],
    )
    @action(detail=False, methods=["get"])
    def apps(self, request: Request) -> Response:
        """List apps and models, with the fields of each."""
        described = [self._app(config) for config in installed.get_app_configs()]
        shown = [app for app in described if app["models"]]
        return Response({"apps": sorted(shown, key=lambda app: str(app["label"]))})

    def _app(self, config: AppConfig) -> dict[str, Any]:
        models = sorted(
            (model for model in config.get_models() if self._shows(model)), key=lambda model: model.__name__
        )
        return {
            "label": config.label,
            "name": str(config.verbose_name),
            "models": [self._model(model) for model in models],
        }

    def _model(self, model: type[Model]) -> dict[str, Any]:
        return {
            "label": model._meta.label,
            "name": str(model._meta.verbose_name),
            "fields": [self._field(field) for field in _fields(model) if not names_secret(field.name)],
        }

    def _field(self, field: Field[Any, Any]) -> dict[str, Any]:
        related = field.related_model
        target = related._meta.concrete_model if isinstance(related, type) else None
        return {
            "name": field.name,
            "type": field.get_internal_type(),
            "relation": target._meta.label if target is not None and self._shows(target) else None,
            "nullable": field.null,
            "help_text": str(field.help_text),
        }

    def _shows(self, model: type[Model]) -> bool:
        config = model._meta.app_config
        names = {model._meta.app_label} | ({config.name} if config else set())
        return not (model._meta.proxy or names & set(self.excluded_apps) or _is_sensitive(model.__name__))


def _fields(model: type[Model]) -> Iterator[Field[Any, Any]]:
    yield from model._meta.fields
    yield from model._meta.many_to_many


def _is_sensitive(name: str) -> bool:
    """Tell whether any word of a model's name says secret, not only the last: a TokenLog holds tokens."""
    words = _WORD.findall(name)
    return any(names_secret(" ".join(words[: end + 1])) for end in range(len(words)))
