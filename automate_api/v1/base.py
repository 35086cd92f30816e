"""The base classes of every API view: authenticated, tenant-scoped, limited, idempotent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.openapi import AutoSchema
from rest_framework import mixins, viewsets
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from automate_api import errors, idempotency, throttling
from automate_api.authentication import AutomateAuthentication
from automate_api.pagination import StandardPagination
from automate_api.parsing import JSONNegotiation, StrictJSONParser
from automate_api.permissions import HasRole, InScope
from automate_api.principal import TENANT_HEADER, Principal, of_user
from automate_api.rendering import ORJSONRenderer
from automate_api.v1.mixins import (
    ConfigurableMixin,
    CORSMixin,
    PublicAPIMixin,
    RateLimitMixin,
    StaffOnlyMixin,
    TenantFilterMixin,
    keep_in_tenant,
)
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError, Conflict
from automate_core.models import Role, TenantOwned

__all__ = [
    "BaseAPIView",
    "BaseModelViewSet",
    "BaseReadOnlyViewSet",
    "BaseViewSet",
    "CORSMixin",
    "ConfigurableMixin",
    "PublicAPIMixin",
    "RateLimitMixin",
    "RowRefused",
    "StaffOnlyMixin",
    "TenantFilterMixin",
]


class RowRefused(Conflict):
    """The database refuses this change: another row has these values, or rows depend on this one."""


class BaseAPIView(ConfigurableMixin, CORSMixin, APIView):
    """An API view whose handler runs as the caller's tenant.

    Class attributes to set: `required_roles` (action or method -> least Role), `api_scope` (name scoped keys
    use), `throttle_scope` (names the setting RATE_<scope>), `unique_keys` (refuse duplicate keys in bodies).
    Scopes of keys hold whatever `permission_classes` are. `authentication_classes` may be a project's own: the
    user they find is then looked up among the members of tenants.
    """

    required_roles: ClassVar[Mapping[str, Role]] = {}
    api_scope: ClassVar[str] = ""
    throttle_scope: ClassVar[str] = "STANDARD"
    unique_keys: ClassVar[bool] = False
    public: ClassVar[bool] = False

    authentication_classes: Sequence[Any] = (AutomateAuthentication,)
    permission_classes: Sequence[Any] = (HasRole,)
    throttle_classes: Sequence[Any] = (throttling.RateThrottle,)
    parser_classes: Sequence[Any] = (StrictJSONParser,)
    renderer_classes: Sequence[Any] = (ORJSONRenderer,)
    content_negotiation_class = JSONNegotiation
    metadata_class = None
    # OPTIONS is no method of these views: CORSMixin answers preflights before they are asked.
    http_method_names: Sequence[str] = ("get", "post", "put", "patch", "delete", "head")
    schema = AutoSchema()

    _scope: ExitStack
    _suffix: str = "json"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the request; the response is rendered before the tenant scope ends."""
        name = self.settings.FORMAT_SUFFIX_KWARG
        if name in kwargs and _is_suffixed(request, name):
            # A router's suffix is not for handlers: they are written without it.
            self._suffix = kwargs.pop(name)
        with ExitStack() as scope:
            self._scope = scope
            return super().dispatch(request, *args, **kwargs)

    @property
    def principal(self) -> Principal:
        """The caller of the request being answered."""
        caller = self.request.auth
        if not isinstance(caller, Principal):
            raise NotAuthenticated()
        return caller

    def check_permissions(self, request: Request) -> None:
        """Check the scopes of the caller's key, whatever the view's permissions are, and then those.

        A method the view does not have is 405 for every caller: no role would make it work.
        """
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        in_scope = InScope()
        if not in_scope.has_permission(request, self):
            self.permission_denied(request, message=in_scope.message)
        super().check_permissions(request)

    def get_exception_handler(self) -> Callable[[Exception, Any], Response]:
        """Return the one place that decides how errors look."""
        return errors.handle

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, enter the tenant, count the request, check permissions: in this order."""
        self.format_kwarg = self.get_format_suffix(**kwargs)
        renderer, media_type = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = renderer, media_type
        request.version, request.versioning_scheme = self.determine_version(request, *args, **kwargs)
        try:
            self.perform_authentication(request)
            _recognise(request)
        except (AuthenticationFailed, AutomateError):
            self.check_throttles(request)
            raise
        if isinstance(request.auth, Principal):
            self._scope.enter_context(tenant_scope(request.auth.tenant_id))
        self.check_throttles(request)
        if not self.public and not isinstance(request.auth, Principal):
            raise NotAuthenticated()
        if self._suffix != "json":
            raise Http404
        self.check_permissions(request)
        self._make_idempotent(request)

    def finalize_response(  # type: ignore[override]
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Negotiate and render the response, and add the rate headers."""
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        throttling.add_headers(request._request, response)
        if isinstance(response, Response):
            response.render()
        return response

    def _make_idempotent(self, request: Request) -> None:
        """Put the replay of an idempotency key around the handler of this request."""
        name = (request.method or "").lower()
        handler = getattr(self, name, None)
        caller = request.auth
        if handler is None or not isinstance(caller, Principal):
            return
        if idempotency.key_of(request._request) is None:
            return

        def once(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            def respond() -> HttpResponseBase:
                return self.finalize_response(request, handler(request, *args, **kwargs))

            return idempotency.run(request._request, caller, respond)

        setattr(self, name, once)


class BaseViewSet(BaseAPIView, viewsets.GenericViewSet[Any]):
    """A viewset with settings, CORS and pages; list what it answers as methods.

    `list_serializer_class` is for lists whose rows say less than `serializer_class`.
    """

    pagination_class = StandardPagination
    list_serializer_class: ClassVar[type[BaseSerializer[Any]] | None] = None

    def get_queryset(self) -> QuerySet[Any]:
        """Return the queryset; rows of a tenant-owned model never cross the caller's tenant."""
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        if issubclass(queryset.model, TenantOwned):
            return queryset.filter(tenant_id=self.principal.tenant_id)
        return queryset

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return the shape of what is answered, that of a row where the rows of lists have their own."""
        if self.action == "list" and self.list_serializer_class is not None:
            return self.list_serializer_class
        return super().get_serializer_class()

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return a page of the rows; by primary key where they have no order, or pages would overlap."""
        return super().paginate_queryset(_ordered(queryset))


class BaseModelViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    mixins.ListModelMixin,
    BaseViewSet,
):
    """Create, read, update, delete and list the rows of `queryset` through `serializer_class`.

    Rows of a tenant-owned model are made and kept in the caller's tenant. Rows of any other model are everybody's
    who has the role, in whichever tenant: put TenantFilterMixin in front of a model with a tenant column of its own.
    """

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Save a new row; raises RowRefused."""
        self._save(serializer)

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        """Save a changed row; raises RowRefused."""
        self._save(serializer)

    def perform_destroy(self, instance: Model) -> None:
        """Delete a row; raises RowRefused when others protect it."""
        try:
            with transaction.atomic():
                instance.delete()
        except IntegrityError as error:
            raise RowRefused() from error

    def _save(self, serializer: BaseSerializer[Any]) -> None:
        model = getattr(getattr(serializer, "Meta", None), "model", None)
        if model is not None and issubclass(model, TenantOwned):
            keep_in_tenant(serializer, "tenant", self.principal.tenant_id)
        try:
            with transaction.atomic():
                serializer.save()
        except IntegrityError as error:
            raise RowRefused() from error


class BaseReadOnlyViewSet(mixins.RetrieveModelMixin, mixins.ListModelMixin, BaseViewSet):
    """List and read the rows of `queryset` through `serializer_class`."""


def _recognise(request: Request) -> None:
    """Make a caller with a tenant and a role of a user whom a project's own authentication found."""
    user = request.user
    if isinstance(request.auth, Principal) or user is None or not user.is_authenticated:
        return
    caller = of_user(user, wanted=request.headers.get(TENANT_HEADER))
    request.auth = caller
    request._request.principal = caller  # type: ignore[attr-defined]


def _is_suffixed(request: HttpRequest, name: str) -> bool:
    """Tell whether a router with format suffixes made the route, such as that of `/items.json`."""
    route = str(getattr(request.resolver_match, "route", ""))
    return rf"\.(?P<{name}>" in route or "<drf_format_suffix" in route


def _ordered(queryset: Any) -> Any:
    if not isinstance(queryset, QuerySet) or queryset.ordered:
        return queryset
    query = queryset.query
    if query.is_sliced or query.distinct_fields or query.combinator:
        return queryset
    return queryset.order_by(queryset.model._meta.pk.name)
