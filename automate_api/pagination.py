"""Pages of lists: `page`, `page_size`, and relative links."""

from __future__ import annotations

from typing import Any

from django.core.paginator import InvalidPage, Page
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param, replace_query_param

from automate_api.conf import setting

_MAX_PAGE = 10_000_000


class StandardPagination(PageNumberPagination):
    """`{count, next, previous, results}`: 25 rows by default, 100 at most, links without a host."""

    page_size_query_param = "page_size"
    page: Page[Any]
    request: Request

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """Return the rows of the page asked for.

        Raises:
            ValidationError: `page` or `page_size` is not a positive whole number.
            NotFound: there is no such page.
        """
        self.request = request
        number = _positive(request, self.page_query_param, 1)
        try:
            self.page = self.django_paginator_class(queryset, self.get_page_size(request)).page(
                min(number, _MAX_PAGE)
            )
        except InvalidPage as error:
            raise NotFound(f"There is no page {number}") from error
        return list(self.page)

    def get_page_size(self, request: Request) -> int:
        """Return the rows per page: what was asked, capped, or the default."""
        asked = _positive(request, "page_size", int(setting("PAGE_SIZE")))
        return min(asked, int(setting("MAX_PAGE_SIZE")))

    def get_next_link(self) -> str | None:
        """Return the path and query of the next page."""
        if not self.page.has_next():
            return None
        path = self.request.get_full_path()
        return replace_query_param(path, self.page_query_param, self.page.next_page_number())

    def get_previous_link(self) -> str | None:
        """Return the path and query of the previous page."""
        if not self.page.has_previous():
            return None
        path = self.request.get_full_path()
        number = self.page.previous_page_number()
        if number == 1:
            return remove_query_param(path, self.page_query_param)
        return replace_query_param(path, self.page_query_param, number)


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 30 or int(text) < 1:
        raise ValidationError({name: "Give a positive whole number"})
    return int(text)
