"""The shape of the host's projects."""

from rest_framework import serializers

from portal.models import Project


class ProjectSerializer(serializers.ModelSerializer):
    """A project."""

    class Meta:
        model = Project
        fields = ["id", "name", "status", "organization"]


MyModelSerializer = ProjectSerializer
