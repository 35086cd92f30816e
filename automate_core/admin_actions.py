"""Actions of the admin: who does it, row by row in the row's tenant, after a question where it cannot be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from automate_core.admin_access import reach
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError
from automate_core.management.base import in_one_line
from automate_core.models import Role

M = TypeVar("M", bound=Model)

MOST_ROWS = 1_000
"""Rows one action works through; it answers in one request."""
_SHOWN = 20


def actor(request: HttpRequest) -> str:
    """Return who does it, for the audit trail."""
    return f"user:{request.user.pk}"


def allowed(request: HttpRequest, rows: Iterable[M], role: Role) -> list[M]:
    """Return the rows in whose tenant the user has the role, and say which others were left alone, and why.

    Args:
        rows: what the user selected; each has a `tenant_id`.
        role: the least role, the one the API demands for the same thing.
    """
    chosen = _within_limit(request, rows)
    held = reach(request)
    done = [row for row in chosen if held.may(row.tenant_id, role)]  # type: ignore[attr-defined]
    if len(done) < len(chosen):
        messages.error(
            request,
            f"{len(chosen) - len(done)} left alone: this needs the role {role.value!r} in their tenant",
        )
    return done


def apply_to_each(
    request: HttpRequest,
    rows: Iterable[M],
    verb: Callable[[M], object],
    *,
    done: str,
    role: Role = Role.ADMIN,
) -> None:
    """Run a verb on each row in the row's tenant, and say how many it did and why it refused the others.

    Args:
        rows: what the user selected; each has a `tenant_id`.
        verb: raises AutomateError when it refuses.
        done: what happened, as in "3 replayed".
        role: the least role in the row's tenant.
    """
    count = 0
    for row in allowed(request, rows, role):
        tenant_id: UUID = row.tenant_id  # type: ignore[attr-defined]
        try:
            with tenant_scope(tenant_id):
                verb(row)
        except AutomateError as error:
            messages.error(request, f"{row}: {in_one_line(error)}")
        else:
            count += 1
    if count:
        messages.success(request, f"{count} {done}")


def question(
    request: HttpRequest,
    model_admin: admin.ModelAdmin[Any],
    rows: QuerySet[Any],
    *,
    action: str,
    title: str,
    warning: str,
    button: str,
    extra: Mapping[str, Any] | None = None,
    template: str = "automate_core/admin_question.html",
) -> TemplateResponse | None:
    """Return the page that asks once more before an action, or None when the user has answered it.

    Args:
        action: name of the action, sent again with the answer.
        title: the question.
        warning: what cannot be undone.
        button: what the button says.
        extra: more for the template.
        template: that of the page; extends the default one.
    """
    if "confirmed" in request.POST:
        return None
    shown = list(rows[: _SHOWN + 1])
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.model._meta,
        "action": action,
        "warning": warning,
        "button": button,
        "shown": shown[:_SHOWN],
        "more": max(0, rows.count() - _SHOWN) if len(shown) > _SHOWN else 0,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "checkbox": ACTION_CHECKBOX_NAME,
        **(extra or {}),
    }
    return TemplateResponse(request, template, context)


def revealed(
    request: HttpRequest,
    model_admin: admin.ModelAdmin[Any],
    *,
    title: str,
    advice: str,
    values: Sequence[tuple[str, str]],
) -> TemplateResponse:
    """Return a page that shows secrets this once: they are in no message, session or cache, and not shown again.

    Args:
        values: what each secret is of, and the secret.
    """
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.model._meta,
        "advice": advice,
        "values": values,
    }
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return TemplateResponse(request, "automate_core/admin_revealed.html", context, headers=headers)


def _within_limit(request: HttpRequest, rows: Iterable[M]) -> list[M]:
    chosen = list(rows[: MOST_ROWS + 1] if isinstance(rows, QuerySet) else rows)
    if len(chosen) > MOST_ROWS:
        messages.warning(
            request, f"Only the first {MOST_ROWS} of the selected rows: run the action again for the others"
        )
    return chosen[:MOST_ROWS]
