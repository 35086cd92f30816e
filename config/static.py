"""Static files: whitenoise, without leaving the event loop for requests that are for something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Answers requests for static files; runs natively under ASGI and WSGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        """Answer the request."""
        if iscoroutinefunction(self):
            return self._answer(request)
        answer: HttpResponseBase = super().__call__(request)
        return answer

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        file = self.files.get(request.path_info)
        if file is None:
            answer: HttpResponseBase = await self.get_response(request)
            return answer
        return await sync_to_async(self._whole, thread_sensitive=False)(file, request)

    def _whole(self, file: Any, request: HttpRequest) -> HttpResponse:
        # Django streams a file's chunks through a thread each; these files are small enough to send whole.
        streamed = self.serve(file, request)
        whole = HttpResponse(streamed.getvalue(), status=streamed.status_code)
        whole.headers = streamed.headers
        streamed.close()
        return whole
