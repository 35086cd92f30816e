"""A host's URLs: the API under a prefix of its own, the guide's routes as it has them, and the host's views."""

from django.urls import include, path
from guide import baseapiview, basemodelviewset, basereadonlyviewset, baseviewset, custom_routing
from portal import views
from rest_framework.routers import DefaultRouter

handler404 = "automate_api.errors.handler404"
handler500 = "automate_api.errors.handler500"

router = DefaultRouter()
router.register("base", baseviewset.MyViewSet, basename="base")
router.register("models", basemodelviewset.MyModelViewSet, basename="model")
router.register("readonly", basereadonlyviewset.MyReadOnlyViewSet, basename="readonly")
router.register("projects", views.ProjectViewSet, basename="project")
router.register("my-app", views.MyAppViewSet, basename="my-app")
router.register("settings", views.SettingsViewSet, basename="settings")
router.register("cors", views.CrossOriginViewSet, basename="cors")
router.register("organizations", views.OrganizationViewSet, basename="organization")
router.register("limited", views.LimitedViewSet, basename="limited")
router.register("staff", views.StaffViewSet, basename="staff")
router.register("public", views.PublicViewSet, basename="public")

urlpatterns = [
    path("backend/automation/", include("automate_api.v1.urls")),
    path("backend/view/", baseapiview.MyAPIView.as_view()),
    path("backend/projects/<int:project_id>/tasks/", views.TaskViewSet.as_view({"get": "list"})),
    path("backend/", include(router.urls)),
    *custom_routing.urlpatterns,
]
