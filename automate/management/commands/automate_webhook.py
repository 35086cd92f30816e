"""`automate_webhook`: create webhook sources, list them, rotate their secrets, switch them off and on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate.models import WebhookSource
from automate.webhooks import sources
from automate.webhooks.presets import PRESETS
from automate_core.management.base import (
    AutomateCommand,
    add_tenant_option,
    aligned,
    asked_secret,
    find_tenant,
    in_tenant,
)

ACTOR = "command:automate_webhook"

_WAIT = "longest a delivery waits for what a workflow responds, 0.1 to 60"


class Command(AutomateCommand):
    """Manage webhook sources; secrets go in and are never shown."""

    help = "Create, list and switch webhook sources, and rotate their secrets."
    examples = """\
  automate_webhook create --source shop --preset generic --secret s3cret
  automate_webhook create --source hub --preset github        asks for the secret, without showing it
  automate_webhook rotate --source shop < new-secret.txt      the old secret works until the next rotation
  automate_webhook answer --source shop --within 10           deliveries wait for what a workflow responds
  automate_webhook disable --source shop
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(
            dest="verb", required=True, metavar="create | list | rotate | answer | disable | enable"
        )
        create = verbs.add_parser("create", help="create a source")
        create.add_argument(
            "--preset", required=True, choices=list(PRESETS), help="how deliveries are signed"
        )
        create.add_argument("--type-header", default="", help="header that carries the event type")
        create.add_argument("--type-field", default="", help="dotted path in the body that carries it")
        create.add_argument("--answer-within", type=float, metavar="SECONDS", help=f"{_WAIT} (default: none)")
        add_tenant_option(create)
        listing = verbs.add_parser("list", help="list sources, never secrets")
        listing.add_argument("--tenant", help="slug of a tenant (default: all)")
        rotate = verbs.add_parser("rotate", help="sign with a new secret; the one before stays valid")
        answer = verbs.add_parser("answer", help="let deliveries wait for what a workflow responds, or not")
        answer.add_argument(
            "--within", type=float, required=True, metavar="SECONDS", help=f"{_WAIT}; 0: none"
        )
        disable = verbs.add_parser("disable", help="refuse deliveries of a source from now on")
        enable = verbs.add_parser("enable", help="accept deliveries of a source again")
        for verb in (create, rotate, answer, disable, enable):
            verb.add_argument("--source", required=True, help="last part of the route")
        for verb in (create, rotate):
            verb.add_argument(
                "--secret",
                help="what the sender signs with; other users of this machine can see it, so prefer standard input",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        verbs = {
            "create": self._create,
            "list": self._list,
            "rotate": self._rotate,
            "answer": self._answer,
            "disable": self._disable,
            "enable": self._enable,
        }
        verbs[options["verb"]](options)

    def _create(self, options: dict[str, Any]) -> None:
        with in_tenant(options["tenant"]):
            source = sources.create_source(
                slug=options["source"],
                preset=options["preset"],
                secret=_secret(options),
                type_header=options["type_header"],
                type_field=options["type_field"],
                answer_seconds=options["answer_within"],
                by=ACTOR,
            )
        self.stdout.write(f"Created {source.slug}; post to /api/automate/webhooks/{source.slug}/")

    def _list(self, options: dict[str, Any]) -> None:
        found = WebhookSource.all_tenants.select_related("tenant").order_by("slug")
        if options["tenant"]:
            found = found.filter(tenant=find_tenant(options["tenant"]))
        rows = [
            (source.slug, source.preset, _state(source), source.tenant.slug, f"{source.created_at:%Y-%m-%d}")
            for source in found
        ]
        for line in aligned([("SOURCE", "PRESET", "STATE", "TENANT", "CREATED"), *rows]):
            self.stdout.write(line)

    def _rotate(self, options: dict[str, Any]) -> None:
        source = _source(options)
        sources.rotate_secret(source, _secret(options), by=ACTOR)
        self.stdout.write(
            f"Rotated the secret of {source.slug}; the one before works until the next rotation"
        )

    def _answer(self, options: dict[str, Any]) -> None:
        source = sources.answer_within(_source(options), options["within"] or None, by=ACTOR)
        how = f"within {source.answer_seconds:g} s" if source.answer_seconds else "at once"
        self.stdout.write(f"Deliveries of {source.slug} are answered {how}")

    def _disable(self, options: dict[str, Any]) -> None:
        source = sources.disable(_source(options), by=ACTOR)
        self.stdout.write(f"Disabled {source.slug}: its deliveries are refused")

    def _enable(self, options: dict[str, Any]) -> None:
        source = sources.enable(_source(options), by=ACTOR)
        self.stdout.write(f"Enabled {source.slug}")


def _secret(options: dict[str, Any]) -> str:
    given: str | None = options["secret"]
    return asked_secret("Secret (not shown): ") if given is None else given


def _state(source: WebhookSource) -> str:
    return "on" if source.is_enabled else "off"


def _source(options: dict[str, Any]) -> WebhookSource:
    source = WebhookSource.all_tenants.filter(slug=options["source"]).first()
    if source is None:
        raise CommandError(f"There is no webhook source {options['source']!r}; see `automate_webhook list`")
    return source
