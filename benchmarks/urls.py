"""The standalone routes plus one empty view: what the framework alone costs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config import urls as standalone
from config.urls import *  # noqa: F403


@csrf_exempt
async def empty(request: HttpRequest) -> HttpResponse:
    """Answer without looking at the request."""
    return HttpResponse(b"{}", content_type="application/json", status=202)


urlpatterns = [path("bench/empty/", empty), *standalone.urlpatterns]
