"""What keeps the admin's lists of huge tables cheap: bounded counts, searches and filters."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import CharField, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from automate_core.admin_base import HistoryAdmin

COUNTED = 10_000
"""Rows that are counted and have page numbers, and the newest rows a text is searched in."""
RECENT = 1_000
"""The newest rows whose values a filter offers."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts the first 10,000 rows and numbers their pages; the rest is reached by narrowing the list."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most COUNTED."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNTED].count()


class RecentValuesFilter(admin.SimpleListFilter):
    """Offers the values a column has in the newest rows; reading all of them would read the whole table."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the values, and the one that is chosen."""
        newest = _every(model_admin.model).order_by("-pk").values_list(self.column, flat=True)[:RECENT]
        values = {*newest, self.value()} - {None, ""}
        return [(value, value) for value in sorted(values)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        value = self.value()
        return queryset if value is None else queryset.filter(**{self.column: value})


class LargeAdmin(HistoryAdmin):
    """Shows a history of millions of rows.

    A filter named after a text column offers the values of the newest rows. `id_fields` are columns with an index that
    an id is searched in, `trace_field` the one a trace id is; any other text is searched in `search_fields` of the
    newest 10,000 rows.
    """

    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    id_fields: ClassVar[tuple[str, ...]] = ("id",)
    trace_field: ClassVar[str | None] = None
    search_help_text = "An id or a trace id finds any row; other text is searched in the newest 10,000 rows."

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Offer of a text column without choices the values of the newest rows."""
        return [
            _recent_values(self.model, one) if self._has_any_text(one) else one
            for one in super().get_list_filter(request)
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows that have the id or the trace id, else the newest ones that have the text."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if self.trace_field is not None and queryset.filter(**{self.trace_field: term}).exists():
            return queryset.filter(**{self.trace_field: term}), False
        if wanted := self._ids(term):
            return queryset.filter(Q.create(list(wanted.items()), connector=Q.OR)), False
        return super().get_search_results(request, _newest(queryset), search_term)

    def _has_any_text(self, name: Any) -> bool:
        if not isinstance(name, str) or "__" in name:
            return False
        field = self.model._meta.get_field(name)
        return isinstance(field, CharField) and not field.choices

    def _ids(self, term: str) -> dict[str, Any]:
        found = {}
        for name in self.id_fields:
            with suppress(ValidationError):
                found[name] = self.model._meta.get_field(name).to_python(term)
        return found


def _every(model: Any) -> QuerySet[Any]:
    found: QuerySet[Any] = getattr(model, "all_tenants", model._default_manager).all()
    return found


def _recent_values(model: type[Model], name: str) -> type[RecentValuesFilter]:
    field: Any = model._meta.get_field(name)
    facts = {"title": str(field.verbose_name), "parameter_name": name, "column": name}
    return type(f"{name.title()}Filter", (RecentValuesFilter,), facts)


def _newest(queryset: QuerySet[Any]) -> QuerySet[Any]:
    model: Any = queryset.model
    oldest: Model | None = _every(model).order_by("-pk").only("pk")[COUNTED - 1 : COUNTED].first()
    return queryset if oldest is None else queryset.filter(pk__gte=oldest.pk)
