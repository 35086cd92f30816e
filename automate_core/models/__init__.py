"""Models of the core: tenants, outbox, secrets, audit."""

from automate_core.models.audit import AuditEntry, AuditHead
from automate_core.models.outbox import OutboxItem, OutboxStatus
from automate_core.models.secret import Secret
from automate_core.models.tenant import (
    DEFAULT_TENANT_ID,
    Membership,
    Role,
    Tenant,
    TenantManager,
    TenantOwned,
    current_tenant_id,
)
from automate_core.models.worker import WorkerBeat

__all__ = [
    "DEFAULT_TENANT_ID",
    "AuditEntry",
    "AuditHead",
    "Membership",
    "OutboxItem",
    "OutboxStatus",
    "Role",
    "Secret",
    "Tenant",
    "TenantManager",
    "TenantOwned",
    "WorkerBeat",
    "current_tenant_id",
]
