"""The classes of the guide, with what it leaves to its reader: rows, serializers, and what is answered."""

from guide import (
    configurablemixin,
    corsmixin,
    custom_actions,
    custom_permissions,
    extend_baseviewset,
    publicapimixin,
    ratelimitmixin,
    staffonlymixin,
    tenantfiltermixin,
)
from rest_framework.response import Response

from portal.models import Project
from portal.serializers import ProjectSerializer


class TaskViewSet(custom_permissions.MyViewSet):
    """What only members of a project see."""

    queryset = Project.objects.all()
    serializer_class = ProjectSerializer


class ProjectViewSet(custom_actions.MyViewSet):
    """Projects that can be activated and counted."""

    queryset = Project.objects.all()
    serializer_class = ProjectSerializer


class MyAppViewSet(extend_baseviewset.MyAppBaseViewSet):
    """The projects of one app, for staff."""

    queryset = Project.objects.all()

    def list(self, request):
        return Response({"names": [project.name for project in self.get_queryset()]})


class SettingsViewSet(configurablemixin.MyViewSet):
    """Says what the guide's view reads, which answers nothing itself."""

    def list(self, request):
        super().list(request)
        return Response({"page_size": self.get_setting("PAGE_SIZE", 25)})


class CrossOriginViewSet(corsmixin.MyViewSet):
    """Answers browsers of other sites."""

    def list(self, request):
        return Response([])


class OrganizationViewSet(tenantfiltermixin.MyViewSet):
    """The projects of the caller's tenant."""

    queryset = Project.objects.order_by("id")
    serializer_class = ProjectSerializer


class LimitedViewSet(ratelimitmixin.MyViewSet):
    """Counts its callers."""

    def list(self, request):
        return Response([])


class StaffViewSet(staffonlymixin.MyViewSet):
    """For staff."""

    def list(self, request):
        return Response([])


class PublicViewSet(publicapimixin.PublicViewSet):
    """For everyone."""

    def list(self, request):
        return Response([])
