"""`automate_audit verify`: check that nobody changed the past."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from automate_core import audit_chain
from automate_core.management.base import AutomateCommand
from automate_core.models import Tenant

SHOWN = 100
_HEAD = re.compile(r"(?P<number>[1-9][0-9]{0,18}):(?P<digest>[0-9a-f]{64})")


class Command(AutomateCommand):
    """Verify the audit chains."""

    help = (
        "Verify the hash-chained audit entries of one tenant or of all. Every entry carries a digest over itself and "
        "the entry before it, and the end of each chain is kept beside it; verify seals what was written last, "
        "recomputes them all and prints how far each chain holds and the digest at its end. Keep that number:digest "
        "outside the database and give it back with --head: who can disable the database's triggers can also make a "
        "whole chain anew."
    )
    examples = """\
  automate_audit verify
  automate_audit verify --tenant acme --head 1042:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""
    exit_codes = """\
exit codes: 0 every chain holds; 1 a chain is broken (the broken entries are named) or there is no such tenant;
2 wrong usage"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the one verb."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="verify")
        verify = verbs.add_parser("verify", help="recompute every digest")
        verify.add_argument("--tenant", help="slug of the tenant (default: every tenant)")
        verify.add_argument(
            "--head", help="number:digest noted earlier; needs --tenant", metavar="NUMBER:DIGEST"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what holds; raise CommandError (exit code 1) at what does not."""
        slug, head = options["tenant"], options["head"]
        tenant = Tenant.objects.filter(slug=slug).first() if slug else None
        if slug and tenant is None:
            raise CommandError(f"There is no tenant {slug!r}")
        if head and tenant is None:
            raise CommandError("--head is the end of one tenant's chain; name it with --tenant", returncode=2)
        self._require_whole(tenant.id if tenant else None)
        if head and tenant:
            _check_head(head, tenant)
        slugs = _slugs()
        for end in audit_chain.heads(tenant.id if tenant else None):
            self.stdout.write(f"{slugs.get(end.tenant_id)}: holds up to {end.number}:{end.digest}")

    def _require_whole(self, tenant_id: UUID | None) -> None:
        audit_chain.seal(tenant_id)
        slugs, first, count = _slugs(), None, 0
        for found in audit_chain.breaks(tenant_id, progress=self._progress):
            first, count = first or found, count + 1
            if count <= SHOWN:
                self._clear()
                self.stderr.write(
                    f"{slugs.get(found.tenant_id, found.tenant_id)}: entry {found.number} {found.reason}"
                )
        self._clear()
        if count > SHOWN:
            self.stderr.write(f"... and {count - SHOWN} more")
        if first:
            raise CommandError(
                f"The audit chain of tenant {str(slugs.get(first.tenant_id, first.tenant_id))!r} is broken at entry "
                f"{first.number}"
            )

    def _progress(self, count: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{count} entries", ending="")
            self.stderr.flush()

    def _clear(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("\r\033[K", ending="")


def _slugs() -> dict[UUID, str]:
    return dict(Tenant.objects.values_list("id", "slug"))


def _check_head(head: str, tenant: Tenant) -> None:
    match = _HEAD.fullmatch(head)
    if match is None:
        raise CommandError("--head expects number:digest as `automate_audit verify` printed it", returncode=2)
    if not audit_chain.holds(tenant.id, int(match["number"]), match["digest"]):
        raise CommandError(
            f"The audit chain of tenant {tenant.slug!r} is broken: entry {match['number']} is not there "
            "as it was when --head was noted"
        )
