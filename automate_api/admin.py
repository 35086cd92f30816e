"""API keys in the admin: made, shown once, and revoked; and idempotency records, to look at."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from automate_api.keys import create_key, revoke_key
from automate_api.models import ApiKey, IdempotencyRecord
from automate_core.admin_access import Reach, reach
from automate_core.admin_actions import actor, apply_to_each, question, revealed
from automate_core.admin_base import HistoryAdmin
from automate_core.admin_large import LargeAdmin
from automate_core.errors import Conflict
from automate_core.models import Membership, Role, Tenant

_SCOPE = re.compile(r"[a-z_]+:(read|write)")


class KeyForm(forms.Form):
    """What a new API key is for and may do."""

    id = forms.UUIDField(widget=forms.HiddenInput)
    name = forms.CharField(max_length=100, help_text="What the key is for.")
    tenant = forms.ModelChoiceField(Tenant.objects.none(), help_text="The only tenant it reaches.")
    role = forms.ChoiceField(choices=Role.choices, initial=Role.VIEWER, help_text="The most it may do.")
    user = forms.CharField(
        required=False,
        help_text="Name of the user it acts for, a member of the tenant; it never may do more than they may. Empty: "
        "it stands for itself.",
    )
    scopes = forms.CharField(
        required=False, help_text="Such as events:write workflows:read; empty: all its role may do."
    )
    expires_at = forms.SplitDateTimeField(
        required=False, widget=AdminSplitDateTime, help_text="When it stops working; empty: never."
    )

    def __init__(self, *args: Any, held: Reach, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = held
        mine = held.narrow(Tenant.objects.filter(is_active=True).order_by("slug"), "id", Role.ADMIN)
        self.fields["tenant"].queryset = mine  # type: ignore[attr-defined]

    def clean_scopes(self) -> list[str]:
        """Return the scopes."""
        scopes: list[str] = self.cleaned_data["scopes"].replace(",", " ").split()
        if wrong := [scope for scope in scopes if not _SCOPE.fullmatch(scope)]:
            raise forms.ValidationError(f"{wrong[0]!r} is not <resource>:read or <resource>:write")
        return scopes

    def clean_expires_at(self) -> Any:
        """Return a time to come, or None."""
        moment = self.cleaned_data["expires_at"]
        if moment is not None and moment <= timezone.now():
            raise forms.ValidationError("Choose a time to come")
        return moment

    def clean(self) -> dict[str, Any]:
        """Find the user among the members of the tenant."""
        data = super().clean() or {}
        name, tenant = data.get("user"), data.get("tenant")
        if name and tenant:
            model = get_user_model()
            found = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
            if found is None or not self._may_act_for(found, tenant):
                self.add_error("user", f"{name!r} is not a member of this tenant")
            data["user"] = found
        return data

    def _may_act_for(self, user: Any, tenant: Tenant) -> bool:
        if user.is_superuser:
            return self._held.is_everywhere
        return Membership.objects.filter(user=user, tenant=tenant).exists()


@admin.register(ApiKey)
class ApiKeyAdmin(HistoryAdmin):
    """Keys are made here and shown once; they do not change, and a revoked key stays for the audit trail's sake."""

    empty_hint = "No API key: add one; it is shown once"
    list_display = ("name", "prefix", "tenant", "user", "role", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("role", ("revoked_at", admin.EmptyFieldListFilter), "tenant")
    search_fields = ("name", "prefix")
    list_select_related = ("tenant", "user")
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fields = (
        "id", "tenant", "name", "prefix", "user", "role", "scopes", "created_at", "last_used_at", "expires_at",
        "revoked_at",
    )  # fmt: skip
    actions = ("revoke",)
    add_form: ClassVar[type[KeyForm]] = KeyForm

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may make keys of some tenant."""
        permitted = admin.ModelAdmin.has_add_permission(self, request)
        return permitted and reach(request).may_anywhere(Role.ADMIN)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what the key is for, make it, and show it this once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else None
        form = self.add_form(given, held=reach(request), initial={"id": ApiKey().pk})
        if form.is_valid():
            try:
                key, plain = create_key(
                    by=actor(request),
                    tenant_id=form.cleaned_data["tenant"].pk,
                    user=form.cleaned_data["user"] or None,
                    role=Role(form.cleaned_data["role"]),
                    **{name: form.cleaned_data[name] for name in ("id", "name", "scopes", "expires_at")},
                )
            except Conflict as error:
                form.add_error(None, error.message)
            else:
                return revealed(
                    request,
                    self,
                    title=f"The API key {key}",
                    advice="Copy the key now: this is the only time it is shown. Send it as X-API-Key.",
                    values=[(key.name, plain)],
                )
        return self._form_page(request, form)

    def _form_page(self, request: HttpRequest, form: KeyForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Add API key",
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "automate_api/admin_new_key.html", context)

    @admin.action(description="Revoke the selected keys", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Ask once more, then end the selected keys at once."""
        page = question(
            request,
            self,
            queryset,
            action="revoke",
            title="Revoke these API keys?",
            warning="Whoever uses them is refused from the next request on. A revoked key cannot be used again.",
            button="Revoke them",
        )
        if page is not None:
            return page
        apply_to_each(
            request, queryset, lambda key: revoke_key(key, by=actor(request)), done="revoked", role=Role.ADMIN
        )
        return None


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(LargeAdmin):
    """What was answered to requests with an idempotency key; bodies are not shown."""

    list_display = ("created_at", "tenant", "method", "route", "status")
    list_filter = ("method", "created_at", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("route",)
    search_help_text = "An id finds any row; other text is searched in the newest 10,000 rows."
    ordering = ("-id",)
    sortable_by = ()
    fields = ("created_at", "tenant", "method", "route", "status", "content_type")
