"""Routes the toolkit is tested with: small views of the documented kinds."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from automate_api.models import ApiKey
from automate_api.v1.base import (
    BaseAPIView,
    BaseModelViewSet,
    BaseReadOnlyViewSet,
    BaseViewSet,
    ConfigurableMixin,
    CORSMixin,
    PublicAPIMixin,
    RateLimitMixin,
    StaffOnlyMixin,
    TenantFilterMixin,
)
from automate_core.context import current_trace_id, tenant_in_context
from automate_core.errors import (
    AccessDenied,
    AutomateError,
    Conflict,
    NotFound,
    PermanentError,
    TransientError,
    ValidationFailed,
)
from automate_core.models import Role, Tenant

handler404 = "automate_api.errors.handler404"
handler500 = "automate_api.errors.handler500"

RAISED: dict[str, Exception] = {
    "validation": ValidationFailed("Wrong"),
    "missing": NotFound("No such thing"),
    "conflict": Conflict("Already done"),
    "denied": AccessDenied("Not you"),
    "transient": TransientError("Later", retry_after_seconds=7),
    "permanent": PermanentError("Never"),
    "automate": AutomateError("secret internals"),
    "bug": RuntimeError("secret internals"),
}


class PingView(BaseAPIView):
    """Says who is asking, in which tenant, and whether the context agrees."""

    required_roles = {"post": Role.RUNNER}
    api_scope = "ping"

    def get(self, request: Request) -> Response:
        return Response(
            {
                "principal": self.principal.id,
                "tenant": self.principal.tenant_id,
                "in_context": tenant_in_context(),
                "role": self.principal.role,
                "username": request.user.username,
                "trace_id": current_trace_id(),
            }
        )

    def post(self, request: Request) -> Response:
        return Response({"got": request.data})

    def delete(self, request: Request) -> Response:
        return Response(status=204)


class StrictView(BaseAPIView):
    """Refuses duplicate keys."""

    unique_keys = True

    def post(self, request: Request) -> Response:
        return Response({"got": request.data})


class RaisingView(BaseAPIView):
    """Raises what the URL names."""

    def get(self, request: Request, kind: str) -> Response:
        raise RAISED[kind]


class NodeSerializer(serializers.Serializer[Any]):
    url = serializers.URLField()


class NodesSerializer(serializers.Serializer[Any]):
    nodes = NodeSerializer(many=True)
    name = serializers.CharField()


class NestedView(BaseAPIView):
    """Validates a nested body."""

    def post(self, request: Request) -> Response:
        NodesSerializer(data=request.data).is_valid(raise_exception=True)
        return Response({})


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    class Meta:
        model = Tenant
        fields = ["id", "slug", "name"]


class MakingView(BaseAPIView):
    """Makes a tenant; `?fail=` makes it fail after the write."""

    required_roles = {"post": Role.EDITOR}

    def post(self, request: Request) -> Response:
        made = Tenant.objects.create(slug=request.data["slug"], name="made")
        if "fail" in request.query_params:
            raise RAISED[request.query_params["fail"]]
        return Response({"id": made.pk, "at": made.created_at}, status=201)


class TenantViewSet(BaseModelViewSet):
    queryset = Tenant.objects.order_by("slug")
    serializer_class = TenantSerializer

    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str | None = None) -> Response:
        return Response({"slug": self.get_object().slug})

    @action(detail=False, methods=["get"])
    def stats(self, request: Request) -> Response:
        return Response({"total": self.get_queryset().count()})


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = ["id", "name"]


class KeyViewSet(BaseReadOnlyViewSet):
    queryset = ApiKey.all_tenants.order_by("name")
    serializer_class = KeySerializer


class OwnedSerializer(serializers.ModelSerializer[ApiKey]):
    """Lets the body name a tenant, as a careless host might."""

    tenant_id = serializers.UUIDField(required=False)

    class Meta:
        model = ApiKey
        fields = ["id", "name", "prefix", "tenant_id"]


class PlainKeyViewSet(TenantFilterMixin, viewsets.ModelViewSet[ApiKey]):
    queryset = ApiKey.all_tenants.order_by("name")
    serializer_class = OwnedSerializer
    tenant_field = "tenant_id"


class ItemsViewSet(BaseViewSet):
    cors_origins = ["https://example.com"]
    cors_methods = ["GET", "POST"]

    def list(self, request: Request) -> Response:
        return Response({"items": []})


class SettingViewSet(ConfigurableMixin, viewsets.ViewSet):
    def list(self, request: Request) -> Response:
        return Response({"page_size": self.get_setting("PAGE_SIZE", 25), "own": self.get_setting("OWN", 3)})


class CorsViewSet(CORSMixin, viewsets.ViewSet):
    cors_origins = ["https://example.com"]
    cors_methods = ["GET", "POST"]

    def list(self, request: Request) -> Response:
        return Response([])


class LimitedViewSet(RateLimitMixin, viewsets.ViewSet):
    rate_limit = "2/hour"
    rate_limit_key = "user"

    def list(self, request: Request) -> Response:
        return Response([])


class AddressLimitedViewSet(RateLimitMixin, viewsets.ViewSet):
    rate_limit = "2/hour"
    rate_limit_key = "ip"

    def list(self, request: Request) -> Response:
        return Response([])


class StaffViewSet(StaffOnlyMixin, viewsets.ViewSet):
    def list(self, request: Request) -> Response:
        return Response([])


class PublicViewSet(PublicAPIMixin, viewsets.ViewSet):
    public_rate_limit = "2/minute"

    def list(self, request: Request) -> Response:
        return Response({"open": True})


class UserSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()


class UserListViewSet(BaseReadOnlyViewSet):
    queryset = get_user_model().objects.order_by("username")
    serializer_class = UserSerializer


def plain(request: HttpRequest) -> HttpResponse:
    """Fails outside DRF."""
    raise RuntimeError("secret internals")


async def trace(request: HttpRequest) -> HttpResponse:
    """Answers natively under ASGI."""
    return JsonResponse({"trace_id": current_trace_id()})


router = DefaultRouter()
router.register("tenants", TenantViewSet, basename="tenants")
router.register("keys", KeyViewSet, basename="keys")
router.register("plain-keys", PlainKeyViewSet, basename="plain-keys")
router.register("items", ItemsViewSet, basename="items")
router.register("settings", SettingViewSet, basename="settings")
router.register("cors", CorsViewSet, basename="cors")
router.register("limited", LimitedViewSet, basename="limited")
router.register("address-limited", AddressLimitedViewSet, basename="address-limited")
router.register("staff", StaffViewSet, basename="staff")
router.register("public", PublicViewSet, basename="public")
router.register("users", UserListViewSet, basename="users")

urlpatterns = [
    path("api/ping/", PingView.as_view()),
    path("api/strict/", StrictView.as_view()),
    path("api/raise/<str:kind>/", RaisingView.as_view()),
    path("api/workflow/raise/<str:kind>/", RaisingView.as_view()),
    path("api/workflow/nested/", NestedView.as_view()),
    path("api/nested/", NestedView.as_view()),
    path("api/making/", MakingView.as_view()),
    path("api/plain/", plain),
    path("api/trace/", trace),
    path("api/", include(router.urls)),
    path("api/", include("automate_api.v1.urls")),
]
