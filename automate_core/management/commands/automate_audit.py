"""`automate_audit verify`: check that nobody changed the past."""

from __future__ import annotations

import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from automate_core import audit
from automate_core.models import Tenant

EPILOG = """\
Every audit entry carries a digest over itself and the entry before it. `verify` recomputes them all and
prints, for each tenant, how far its chain holds and the digest at its end. Entries cut off the end leave no
trace in the table: keep the printed `number:digest` elsewhere and give it back with --head.

exit codes: 0 every chain holds; 1 a chain is broken (the first broken number is printed) or there is no such
tenant; 2 wrong usage
"""
_HEAD = re.compile(r"(?P<number>[1-9][0-9]{0,18}):(?P<digest>[0-9a-f]{64})")


class Command(BaseCommand):
    """Verify the audit chains."""

    help = "Verify the hash-chained audit entries of one tenant or of all."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Add the explanation and exit codes to the help."""
        kwargs.update(epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

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
        breaks = audit.verify(tenant.id if tenant else None)
        slugs = dict(Tenant.objects.values_list("id", "slug"))
        for found in breaks:
            self.stderr.write(f"{slugs.get(found.tenant_id)}: entry {found.number} {found.reason}")
        if breaks:
            first = breaks[0]
            raise CommandError(
                f"The audit chain of tenant {slugs.get(first.tenant_id)!r} is broken at entry {first.number}"
            )
        if head and tenant:
            _check_head(head, tenant)
        for end in audit.heads(tenant.id if tenant else None):
            self.stdout.write(f"{slugs.get(end.tenant_id)}: holds up to {end.number}:{end.digest}")


def _check_head(head: str, tenant: Tenant) -> None:
    match = _HEAD.fullmatch(head)
    if match is None:
        raise CommandError("--head expects number:digest as `automate_audit verify` printed it", returncode=2)
    if not audit.holds(tenant.id, int(match["number"]), match["digest"]):
        raise CommandError(
            f"The audit chain of tenant {tenant.slug!r} is broken: entry {match['number']} is not there "
            "as it was when --head was noted"
        )
