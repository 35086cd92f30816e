"""What our commands share: examples in the help, one line for what goes wrong, exit codes, tenants, JSON arguments."""

from __future__ import annotations

import getpass
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from automate_core.context import current_trace_id, tenant_scope, trace_scope
from automate_core.errors import AutomateError
from automate_core.models import Tenant

EXIT_CODES = "exit codes: 0 done; 1 refused or failed (the message says what to do); 2 wrong usage"


class AutomateCommand(BaseCommand):
    """A command whose mistakes end in one line on stderr: exit code 1 when refused, 2 for wrong usage."""

    examples: ClassVar[str] = ""
    exit_codes: ClassVar[str] = EXIT_CODES
    is_one_piece: ClassVar[bool] = True
    """Whether all it does has one trace id; what serves many pieces of work leaves each its own."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Add the examples and the exit codes to the help."""
        examples = f"examples:\n{self.examples}\n" if self.examples else ""
        kwargs.update(epilog=examples + self.exit_codes, formatter_class=RawDescriptionHelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; what the library refuses becomes a message and an exit code."""
        _require_text(options.values())
        trace = trace_scope(current_trace_id()) if self.is_one_piece else nullcontext()
        try:
            with trace:
                return super().execute(*args, **options)
        except AutomateError as error:
            raise CommandError(in_one_line(error)) from error
        except (OperationalError, InterfaceError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise CommandError(f"The database does not answer: {reason[0]}; see automate_doctor") from error


def in_one_line(error: AutomateError) -> str:
    """Return the error's message with its problems by field."""
    said = "; ".join(f"{problem.field} {problem.message}" for problem in error.details)
    return f"{error.message}: {said}" if said and said not in error.message else error.message


def add_tenant_option(parser: Any) -> None:
    """Declare `--tenant`."""
    parser.add_argument("--tenant", help="slug of the tenant (default: the default tenant)")


def find_tenant(slug: str) -> Tenant:
    """Return the tenant with this slug; raises CommandError."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant {slug!r}")
    return tenant


@contextmanager
def in_tenant(slug: str | None) -> Iterator[None]:
    """Run the block as the tenant with this slug, or as the default tenant when None."""
    if slug is None:
        yield
        return
    with tenant_scope(find_tenant(slug).id):
        yield


def json_object(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object in an argument; `-` reads it from standard input. Raises CommandError with code 2."""
    given = sys.stdin.read() if text == "-" else text
    try:
        value = orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{name} is not JSON: {error}", returncode=2) from error
    if not isinstance(value, dict):
        raise CommandError(f'{name} must be a JSON object such as {{"order": 1}}', returncode=2)
    return value


def asked_secret(prompt: str) -> str:
    """Return a secret typed without being shown, or everything on standard input but its last line end."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError:
        raise CommandError("Standard input is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of texts as lines whose columns line up, two spaces apart."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def plain(text: str) -> str:
    """Return a text that cannot steer the terminal: one line, control characters shown as what they are."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _require_text(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise CommandError(
                "The arguments are not UTF-8 text; check the terminal's encoding", returncode=2
            )
        if isinstance(value, str) and "\x00" in value:
            raise CommandError("The arguments contain a NUL character", returncode=2)
