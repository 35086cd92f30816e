"""The host's projects: rows with members, and a column for the tenant some of them belong to."""

from django.conf import settings
from django.db import models


class Project(models.Model):
    """What people work on together."""

    name = models.CharField(max_length=50, unique=True, help_text="How members call it")
    status = models.CharField(max_length=20, default="draft")
    app = models.CharField(max_length=20, blank=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="projects")
    organization = models.ForeignKey("automate_core.Tenant", on_delete=models.CASCADE, null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class PartnerToken(models.Model):
    """A credential of the host's own."""

    token = models.CharField(max_length=50)

    def __str__(self) -> str:
        return str(self.pk)


MyModel = Project
