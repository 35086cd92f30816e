"""The core app: the default tenant exists after every migrate."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.conf import settings
from django.db.models.signals import post_migrate


class AutomateCoreConfig(AppConfig):
    """Tenancy, outbox, secrets and the contracts everything else builds on."""

    name = "automate_core"
    verbose_name = "Automate core"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register checks and duties, guard logs, audit accounts, and have a default tenant after migrations."""
        from automate_core import checks  # noqa: F401
        from automate_core.telemetry import redact_server_logs

        redact_server_logs()
        _register_duty()
        if installed_apps.is_installed("django.contrib.admin"):
            from automate_core.admin_accounts import audit_accounts

            audit_accounts()
        if getattr(settings, "AUTOMATE", {}).get("CELERY_DOORBELL"):
            from automate_core.outbox import doorbell
            from automate_core.tasks import ringer

            doorbell.add_bell(ringer.ring)
        post_migrate.connect(_ensure_default_tenant, sender=self, dispatch_uid="automate_core.default_tenant")


def _register_duty() -> None:
    from automate_core.audit_chain import SEAL_SECONDS, seal_some
    from automate_core.outbox.duties import Duty, duty_registry

    if "audit" not in duty_registry:
        duty_registry.register("audit", Duty("audit", SEAL_SECONDS, seal_some))


def _ensure_default_tenant(using: str, apps: Apps = installed_apps, **_: Any) -> None:
    from automate_core.models import DEFAULT_TENANT_ID

    try:
        tenants = apps.get_model("automate_core", "Tenant")._default_manager
    except LookupError:
        return  # A host migrated some of its own apps; ours have no tables yet.
    tenants.using(using).get_or_create(id=DEFAULT_TENANT_ID, defaults={"slug": "default", "name": "Default"})
