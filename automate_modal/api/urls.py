"""Routes of calls and their results, relative to /api/modal/."""

from __future__ import annotations

from django.urls import path

from automate_modal.api.calls import EndpointJobView, EndpointRunView, EndpointStreamView
from automate_modal.api.results import ArtifactDownloadView, JobEventsView, JobStatusView

urlpatterns = [
    path("endpoints/<str:pk>/run/", EndpointRunView.as_view(), name="modal-endpoint-run"),
    path("endpoints/<str:pk>/stream/", EndpointStreamView.as_view(), name="modal-endpoint-stream"),
    path("endpoints/<str:pk>/job/", EndpointJobView.as_view(), name="modal-endpoint-job"),
    path("jobs/<str:pk>/status/", JobStatusView.as_view(), name="modal-job-status"),
    path("jobs/<str:pk>/events/", JobEventsView.as_view(), name="modal-job-events"),
    path("artifacts/<str:pk>/download/", ArtifactDownloadView.as_view(), name="modal-artifact-download"),
]
