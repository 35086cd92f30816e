"""Links that lead back here from outside: their base, and the resume links that templates read as `resume`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.urls import NoReverseMatch, reverse

from automate.graph import Plan
from automate.waits.steps import WaitForWebhookStep
from automate.waits.tokens import resume_token
from automate_core import conf
from automate_core.errors import PermanentError
from automate_core.revealed import note_revealed


class NoPublicUrl(PermanentError):
    """No link can be made."""


class ResumeLinks(Mapping[str, str]):
    """The resume URLs of one frame's steps, by node id, each made when it is read.

    Args:
        execution_id: the execution the steps belong to.
        prefix: what leads the paths of the frame's steps: empty at the top, `orders[3]/` in a loop.
        nodes: ids that have a link; any id when None.
    """

    __slots__ = ("_execution_id", "_given", "_nodes", "_prefix")

    def __init__(self, execution_id: UUID | str, prefix: str, nodes: Collection[str] | None = None) -> None:
        self._execution_id = execution_id
        self._prefix = prefix
        self._nodes = nodes
        self._given: dict[str, str] = {}

    def __getitem__(self, node: str) -> str:
        """Return the URL that answers the step of a node, and remember that its token was handed out."""
        if self._nodes is not None and node not in self._nodes:
            raise KeyError(node)
        token = self._given.get(node) or resume_token(self._execution_id, f"{self._prefix}{node}")
        url = public_url("automate-resume", token)
        self._given[node] = token
        note_revealed(token)
        return url

    def __iter__(self) -> Iterator[str]:
        return iter(() if self._nodes is None else self._nodes)

    def __len__(self) -> int:
        return 0 if self._nodes is None else len(self._nodes)

    @property
    def handed_out(self) -> tuple[str, ...]:
        """The tokens read so far; what is recorded is redacted with them."""
        return tuple(self._given.values())


def resume_links(execution_id: UUID | str, prefix: str, nodes: Collection[str] | None = None) -> ResumeLinks:
    """Return what templates of a frame see as `resume`; see `ResumeLinks`."""
    return ResumeLinks(execution_id, prefix, nodes)


def give_links(scope: dict[str, Any], plan: Plan, *, execution_id: UUID | str, prefix: str) -> None:
    """Let the templates of a frame read the links of its waiting steps as `resume`, when it has such steps."""
    nodes = frozenset(node.key for node in plan.nodes if node.handler.type == WaitForWebhookStep.type)
    if nodes:
        scope["resume"] = resume_links(execution_id, prefix, nodes)


def public_url(route: str, *args: str) -> str:
    """Return the absolute URL of a named route, as outsiders reach it.

    Raises:
        NoPublicUrl: AUTOMATE["PUBLIC_URL"] is not set or no URL, or the route is not mounted.
    """
    base = conf.get().PUBLIC_URL
    if not base:
        raise NoPublicUrl(
            'Set AUTOMATE["PUBLIC_URL"] to where this site is reached, such as "https://shop.example"; '
            "links cannot be made without it"
        )
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise NoPublicUrl(
            f'AUTOMATE["PUBLIC_URL"] must be an http or https URL without a query, not {base!r}'
        )
    try:
        return base.rstrip("/") + reverse(route, args=args)
    except NoReverseMatch:
        raise NoPublicUrl(
            f"The route {route!r} is not mounted; include automate_api.v1.urls in the URLs of the project"
        ) from None
