"""The host's own users."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A user with a nickname."""

    nickname = models.CharField(max_length=50, blank=True)
