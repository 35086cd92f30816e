"""Views as a host project writes them: its own models, permissions and authentication."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.urls import include, path
from rest_framework import serializers, viewsets
from rest_framework.authentication import BasicAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from automate.api.services import WorkflowService
from automate.api.viewsets import SchemaViewSet, WorkflowViewSet, ZapierViewSet
from automate.models import Automation
from automate_api.models import ApiKey
from automate_api.v1.base import (
    BaseAPIView,
    BaseModelViewSet,
    BaseReadOnlyViewSet,
    BaseViewSet,
    CORSMixin,
    PublicAPIMixin,
    RateLimitMixin,
    StaffOnlyMixin,
    TenantFilterMixin,
)
from automate_api.v1.views import EventIngestView
from automate_core.models import Membership, Tenant

handler404 = "automate_api.errors.handler404"
handler500 = "automate_api.errors.handler500"


class GroupSerializer(serializers.ModelSerializer[Group]):
    class Meta:
        model = Group
        fields = ["id", "name"]
        # What a serializer of a host may forget; the database does not.
        extra_kwargs = {"name": {"validators": []}}


class GroupViewSet(BaseModelViewSet):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer

    @action(detail=True, methods=["post"])
    def rename(self, request: Request, pk: str | None = None) -> Response:
        return Response({"renamed": pk})


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    class Meta:
        model = Tenant
        fields = ["id", "slug"]


class TenantViewSet(BaseModelViewSet):
    queryset = Tenant.objects.order_by("slug")
    serializer_class = TenantSerializer


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """Lets the body name a tenant, as a careless host might."""

    tenant_id = serializers.UUIDField(required=False)

    class Meta:
        model = ApiKey
        fields = ["id", "name", "tenant_id"]


class KeyViewSet(BaseModelViewSet):
    queryset = ApiKey.all_tenants.order_by("name")
    serializer_class = KeySerializer


class IsRunner(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user.automate_memberships.filter(role="runner").exists())


class MembersViewSet(BaseViewSet):
    def get_permissions(self) -> list[BasePermission]:
        return [IsRunner()]

    def list(self, request: Request) -> Response:
        return Response({"user": request.user.username})


class OwnAuthenticationView(BaseAPIView):
    authentication_classes = [BasicAuthentication]

    def get(self, request: Request) -> Response:
        return Response({"caller": self.principal.id, "role": self.principal.role})


class PlainStaffViewSet(StaffOnlyMixin, viewsets.ViewSet):
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]

    def list(self, request: Request) -> Response:
        return Response([])


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """Lets the body name a tenant in both ways."""

    tenant_id = serializers.UUIDField(required=False)

    class Meta:
        model = Membership
        fields = ["id", "tenant_id", "tenant", "user", "role"]
        extra_kwargs = {"tenant": {"required": False}}


class PlainMembershipViewSet(TenantFilterMixin, viewsets.ModelViewSet[Membership]):
    """A view with DRF's own handler of errors, and the name of a relation as its field."""

    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]
    queryset = Membership.objects.order_by("id")
    serializer_class = MembershipSerializer
    tenant_field = "tenant"

    def get_exception_handler(self) -> Any:
        from rest_framework.views import exception_handler

        return exception_handler


class ByHandViewSet(TenantFilterMixin, BaseReadOnlyViewSet):
    """Tenants of a host that are not these: groups by their name."""

    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    tenant_field = "name"

    def get_tenant_id(self) -> str | None:
        return self.request.headers.get("X-Group")


class PlainLimitedViewSet(RateLimitMixin, viewsets.ViewSet):
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]
    rate_limit = "2/hour"
    rate_limit_key = "user"

    def list(self, request: Request) -> Response:
        return Response([])


class OpenCorsViewSet(CORSMixin, PublicAPIMixin, viewsets.ViewSet):
    cors_origins = ["*"]
    cors_methods = ["POST"]
    public_rate_limit = "100/minute"

    def list(self, request: Request) -> Response:
        return Response([])

    def create(self, request: Request) -> Response:
        return Response({}, status=201)


class ShoutingService(WorkflowService):
    def create(self, **fields: Any) -> Automation:
        return super().create(**{**fields, "name": fields["name"].upper()})


class ShoutingWorkflowViewSet(WorkflowViewSet):
    service_class = ShoutingService


class FewTriggersViewSet(ZapierViewSet):
    available_triggers = [*ZapierViewSet.available_triggers, {"event_type": "order.paid", "name": "Paid!"}]


class OwnCallbacksViewSet(ZapierViewSet):
    def validate_callback_url(self, url: str) -> str | bool:
        if "moved" in url:
            return super().validate_callback_url(url.replace("moved", "here"))
        return url.startswith("https://hooks.example.com/")


class FewerAppsViewSet(SchemaViewSet):
    excluded_apps = [*SchemaViewSet.excluded_apps, "automate"]


class OpenGroupsViewSet(PublicAPIMixin, BaseReadOnlyViewSet):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer


class OpenKeysViewSet(PublicAPIMixin, BaseReadOnlyViewSet):
    queryset = ApiKey.all_tenants.all()
    serializer_class = KeySerializer


class ExportView(BaseAPIView):
    """Has a parameter that is called as routers call their suffix."""

    def get(self, request: Request, format: str) -> Response:
        return Response({"format": format})


router = DefaultRouter()
router.register("open-groups", OpenGroupsViewSet, basename="open-groups")
router.register("open-keys", OpenKeysViewSet, basename="open-keys")
router.register("workflows", ShoutingWorkflowViewSet, basename="workflow")
router.register("few-triggers", FewTriggersViewSet, basename="few-triggers")
router.register("own-callbacks", OwnCallbacksViewSet, basename="own-callbacks")
router.register("fewer-apps", FewerAppsViewSet, basename="fewer-apps")
router.register("groups", GroupViewSet)
router.register("tenants", TenantViewSet)
router.register("keys", KeyViewSet, basename="key")
router.register("members", MembersViewSet, basename="member")
router.register("plain-staff", PlainStaffViewSet, basename="plain-staff")
router.register("memberships", PlainMembershipViewSet)
router.register("by-hand", ByHandViewSet, basename="by-hand")
router.register("plain-limited", PlainLimitedViewSet, basename="plain-limited")
router.register("cors", OpenCorsViewSet, basename="cors")

urlpatterns = [
    path("api/export/<str:format>/", ExportView.as_view()),
    path("api/ingest/", EventIngestView.as_view()),
    path("api/own/", OwnAuthenticationView.as_view()),
    path("api/", include(router.urls)),
    path("backend/automation/", include("automate_api.v1.urls")),
    path("backend/", include(router.urls)),
]
