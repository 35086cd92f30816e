"""Every model has pages that open, show every tenant's rows, and cost the same for one row and for three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Model
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from automate.models import (
    Approval,
    ApprovalVote,
    Automation,
    Event,
    Execution,
    RoutingRevision,
    StepRun,
    Trigger,
    TriggerWindow,
    WebhookSource,
    WebhookSubscription,
    WindowedEvent,
    WorkflowVersion,
)
from automate.models.live import LiveSeat, LiveWatch
from automate.models.queue import QueueMessage
from automate.workflows import create_workflow
from automate_api.keys import create_key
from automate_api.models import ApiKey, IdempotencyRecord
from automate_connectors.models import Connection, ConnectionPace, ConnectionTurn
from automate_core import audit, secrets
from automate_core.admin_large import LargeAdmin
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import (
    AuditEntry,
    AuditHead,
    Membership,
    OutboxItem,
    Role,
    Secret,
    Tenant,
    WorkerBeat,
    current_tenant_id,
)
from automate_modal.models import Artifact, Endpoint, Job, JobEvent
from automate_studio.models import DevelopmentSession, NodeData

pytestmark = pytest.mark.django_db

XSS = "<script>alert(1)</script>"
GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": XSS}}]}


@pytest.fixture
def client() -> Client:
    user = get_user_model().objects.create_superuser("root", "root@example.com", "password")
    found = Client()
    found.force_login(user)
    return found


def make_connection(number: int) -> Connection:
    return Connection.objects.create(name=f"shop-{number}", connector="http", config={XSS: XSS})


def make_automation(number: int) -> Automation:
    return create_workflow(
        name=XSS, slug=f"orders-{number}", graph=GRAPH, trigger_type="event",
        trigger_config={"event_type": "order.*", "rule": {"==": [XSS, 1]}}, by=XSS,
    )  # fmt: skip


def make_execution(number: int) -> Execution:
    automation = make_automation(number)
    event = Event.objects.create(type=XSS, source=XSS, dedupe_key=f"{XSS}{number}", payload={XSS: XSS})
    trigger = automation.triggers.get()
    execution = Execution.objects.create(
        automation=automation, version=automation.live_version, event=event, trigger=trigger, status="FAILED",
        context={XSS: XSS}, key=XSS, trace_id=XSS, error_code=XSS, error_summary=XSS, finished_at=timezone.now(),
    )  # fmt: skip
    StepRun.objects.create(
        execution=execution, path=XSS, node_key=XSS, node_type=XSS, status="FAILED", effect="pure", route=XSS,
        input_data={XSS: XSS}, output_data=XSS, variables={"a": XSS}, error_code=XSS, error_message=XSS,
    )  # fmt: skip
    return execution


def make_vote(number: int) -> ApprovalVote:
    approval = Approval.objects.create(
        execution=make_execution(number), path=XSS, title=XSS, message=XSS, assignees={"users": [XSS]},
        form={XSS: XSS}, data={XSS: XSS},
    )  # fmt: skip
    voter = get_user_model().objects.create_user(f"{XSS}{number}")
    return ApprovalVote.objects.create(
        approval=approval, voter=voter, voter_name=XSS, decision="approve", comment=XSS, data={XSS: XSS}
    )


def make_job(number: int) -> Job:
    endpoint = Endpoint.objects.create(
        name=XSS,
        slug=f"e-{number}",
        description=XSS,
        kind="automation",
        config={XSS: XSS},
        input_schema={XSS: XSS},
    )
    job = Job.objects.create(
        endpoint=endpoint, kind="automation", run_id=uuid7(), status="FAILED", finished_at=timezone.now(),
        input={XSS: XSS}, output=XSS, error_code=XSS, error_message=XSS, created_by=XSS, trace_id=XSS,
    )  # fmt: skip
    JobEvent.objects.create(job=job, number=1, type=XSS, data={XSS: XSS}, created_at=timezone.now())
    Artifact.objects.create(job=job, name=XSS, content_type=XSS, size=1, sha256=XSS, file=XSS)
    return job


def make_membership(number: int) -> None:
    user = get_user_model().objects.create_user(f"{XSS}{number}")
    Membership.objects.create(
        tenant=Tenant.objects.create(slug=f"t{number}", name=XSS), user=user, role="viewer"
    )


MAKE: dict[type[Model], Callable[[int], object]] = {
    Tenant: lambda number: Tenant.objects.create(slug=f"t{number}", name=XSS),
    Membership: make_membership,
    OutboxItem: lambda _: OutboxItem.objects.create(
        kind=XSS, key=XSS, payload={XSS: XSS}, error=XSS, trace_id=XSS
    ),
    Secret: lambda number: secrets.store(f"KEY_{number}", "the-secret-value", by="test"),
    AuditEntry: lambda _: audit.record(actor=XSS, action=XSS, target=XSS, before={XSS: XSS}, after=[XSS]),
    AuditHead: lambda _: AuditHead.objects.create(tenant_id=uuid7(), number=1, digest="0"),
    WorkerBeat: lambda number: WorkerBeat.objects.create(worker=f"{XSS}{number}", kinds=XSS),
    ApiKey: lambda _: create_key(name=XSS, tenant_id=current_tenant_id(), role=Role.VIEWER, by="test"),
    IdempotencyRecord: lambda number: IdempotencyRecord.objects.create(
        digest=str(number), fingerprint="", method="POST", route=XSS, status=200, content_type=XSS, body=b""
    ),
    Connection: make_connection,
    ConnectionPace: lambda number: ConnectionPace.objects.create(
        connection=make_connection(number), taken_until=timezone.now()
    ),
    ConnectionTurn: lambda number: ConnectionTurn.objects.create(
        connection=make_connection(number), holder=XSS, at=timezone.now()
    ),
    Event: lambda _: Event.objects.create(type=XSS, source=XSS, payload={XSS: XSS}),
    WebhookSource: lambda number: WebhookSource.objects.create(
        slug=f"hub-{number}", secret_name=XSS, type_field=XSS
    ),
    WebhookSubscription: lambda number: WebhookSubscription.objects.create(
        event_type=XSS, callback_url=f"https://{number}.example/{XSS}", disabled_reason=XSS, last_error=XSS
    ),
    Automation: make_automation,
    WorkflowVersion: make_automation,
    Trigger: make_automation,
    Execution: make_execution,
    StepRun: make_execution,
    Approval: make_vote,
    ApprovalVote: make_vote,
    TriggerWindow: lambda number: TriggerWindow.objects.create(
        trigger=make_automation(number).triggers.get(),
        kind="throttle",
        key=XSS,
        opened_at=timezone.now(),
        closes_at=timezone.now(),
    ),
    WindowedEvent: lambda number: WindowedEvent.objects.create(
        trigger=make_automation(number).triggers.get(), event_id=uuid7(), has_passed=True
    ),
    Endpoint: make_job,
    Job: make_job,
    JobEvent: make_job,
    Artifact: make_job,
    QueueMessage: lambda _: QueueMessage.objects.create(queue=XSS, body={XSS: XSS}, size=1),
    LiveWatch: lambda _: LiveWatch.objects.create(
        automation_id=uuid7(), process=uuid7(), expires_at=timezone.now()
    ),
    LiveSeat: lambda number: LiveSeat.objects.create(
        caller=f"{XSS}{number}", process=uuid7(), seats=1, expires_at=timezone.now()
    ),
    NodeData: lambda number: NodeData.objects.create(
        automation=make_automation(number), node_id=XSS, form_values={XSS: XSS}, output_data=XSS
    ),
    DevelopmentSession: lambda number: DevelopmentSession.objects.create(
        automation=make_automation(number), owner=XSS, name=XSS, expires_at=timezone.now()
    ),
    RoutingRevision: lambda _: RoutingRevision.objects.create(tenant_id=uuid7(), revision=1),
}
FOR_SUPERUSERS = (LiveSeat, LiveWatch)
"""Rows that are of no tenant, but name things of tenants."""
MODELS = sorted(MAKE, key=lambda model: model._meta.label)


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def rows(model: type[Model]) -> Any:
    return getattr(model, "all_tenants", model._default_manager).all()


def named(model: type[Model]) -> str:
    return model._meta.label


def test_every_model_is_registered() -> None:
    """Register a new model in the admin of its app, and make a row of it in MAKE."""
    ours = {
        model
        for config in apps.get_app_configs()
        if config.name.split(".")[0].startswith(("automate", "rag"))
        for model in config.get_models()
    }
    assert ours - set(admin.site._registry) == set()
    assert ours == set(MAKE)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_list_costs_the_same_for_one_row_and_for_three(model: type[Model], client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url(model, "changelist")).status_code == 200
        return len(captured)

    MAKE[model](1)
    queries()
    one = queries()
    MAKE[model](2)
    MAKE[model](3)
    assert queries() == one


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_page_of_a_row_costs_the_same_for_one_row_and_for_three(model: type[Model], client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url(model, "change", first.pk)).status_code == 200
        return len(captured)

    MAKE[model](1)
    first = rows(model).order_by("-pk")[0]
    queries()
    one = queries()
    MAKE[model](2)
    MAKE[model](3)
    assert queries() == one


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_list_can_be_searched_and_narrowed(model: type[Model]) -> None:
    """A list names what it shows, its order, and fields to search; one of rows with a time narrows by time."""
    page = admin.site._registry[model]
    request = RequestFactory().get("/")
    request.user = get_user_model()(pk=1, is_superuser=True, is_active=True)
    assert page.get_list_display(request) != ("__str__",)
    assert len(page.get_search_fields(request)) > 0
    assert len(page.get_ordering(request)) > 0
    times = {"created_at", "updated_at"} & {field.name for field in model._meta.concrete_fields}
    narrowed = {page.date_hierarchy, *map(str, page.get_list_filter(request))}
    assert not times or isinstance(page, LargeAdmin) or narrowed & times


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_pages_show_data_as_text(model: type[Model], client: Client) -> None:
    MAKE[model](1)
    row = rows(model).order_by("-pk")[0]
    for page in (url(model, "changelist"), url(model, "change", row.pk)):
        text = client.get(page).content.decode()
        assert "<script>alert" not in text
        assert "the-secret-value" not in text


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_search_takes_any_text(model: type[Model], client: Client) -> None:
    MAKE[model](1)
    for text in ("order", str(uuid7()), "12", "'\"%_", "\x00", "9" * 30):
        assert client.get(url(model, "changelist"), {"q": text}).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_pages_are_closed_to_staff_without_the_permission(model: type[Model]) -> None:
    user = get_user_model().objects.create_user("staff", is_staff=True)
    client = Client()
    client.force_login(user)
    MAKE[model](1)
    assert client.get(url(model, "changelist")).status_code == 403
    permission = Permission.objects.get(
        content_type__app_label=model._meta.app_label, codename=f"view_{model._meta.model_name}"
    )
    user.user_permissions.add(permission)
    client.force_login(user)
    assert client.get(url(model, "changelist")).status_code == (403 if model in FOR_SUPERUSERS else 200)


def test_search_finds_an_execution_by_its_id(client: Client) -> None:
    wanted, other = make_execution(1), make_execution(2)
    text = client.get(url(Execution, "changelist"), {"q": str(wanted.id)}).content.decode()
    assert (str(wanted.id) in text, url(Execution, "change", other.id) in text) == (True, False)


def test_rows_of_every_tenant_are_shown(client: Client) -> None:
    acme = Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    with tenant_scope(acme.id):
        execution = make_execution(1)
    text = client.get(url(Execution, "changelist")).content.decode()
    assert url(Execution, "change", execution.id) in text
    step = StepRun.all_tenants.get()
    StepRun.all_tenants.update(path="their-step")
    assert ">their-step<" in client.get(url(Execution, "change", execution.id)).content.decode()
    for row in (execution.automation, execution.event, step):
        assert row is not None
        assert client.get(url(type(row), "change", row.pk)).status_code == 200


WRITABLE = (Tenant, Membership, Connection, ApiKey)
"""What pages change; all else is read-only, written by verbs, and tested to be."""


@pytest.mark.parametrize("model", [model for model in MODELS if model not in WRITABLE], ids=named)
def test_what_verbs_write_is_read_only(model: type[Model], client: Client) -> None:
    MAKE[model](1)
    row = rows(model).order_by("-pk")[0]
    before = rows(model).filter(pk=row.pk).values()[0]
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "add"), {"slug": "x"}).status_code == 403
    assert client.post(url(model, "change", row.pk), {"slug": "x", "status": "SUCCESS"}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    client.post(
        url(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    )
    assert "delete_selected" not in client.get(url(model, "changelist")).content.decode()
    assert rows(model).filter(pk=row.pk).values()[0] == before


def test_steps_stand_under_their_execution_in_order(client: Client) -> None:
    execution = make_execution(1)
    StepRun.objects.all().delete()
    for path, seq in (("third", 3), ("first", 1), ("second", 2)):
        StepRun.objects.create(
            execution=execution,
            path=path,
            node_key=path,
            node_type="set",
            status="SUCCESS",
            effect="pure",
            seq=seq,
        )
    text = client.get(url(Execution, "change", execution.id)).content.decode()
    places = [text.index(f">{path}<") for path in ("first", "second", "third")]
    assert places == sorted(places)


def test_execution_page_costs_the_same_for_one_step_and_for_three(client: Client) -> None:
    execution = make_execution(1)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url(Execution, "change", execution.id)).status_code == 200
        return len(captured)

    queries()
    one = queries()
    for path in ("a", "b"):
        StepRun.objects.create(
            execution=execution, path=path, node_key=path, node_type="set", status="SUCCESS", effect="pure"
        )
    assert queries() == one


def test_empty_list_says_how_rows_come_about(client: Client) -> None:
    text = client.get(url(Event, "changelist")).content.decode()
    assert "emit one with `manage.py automate_emit`" in text
    MAKE[Event](1)
    assert "emit one with" not in client.get(url(Event, "changelist")).content.decode()
    hinted = {model for model in MODELS if getattr(admin.site._registry[model], "empty_hint", "")}
    assert hinted >= {Automation, Event, Execution, WebhookSource, Connection, ApiKey, Secret, OutboxItem}


def test_large_lists_count_no_choices() -> None:
    large = [page for page in admin.site._registry.values() if isinstance(page, LargeAdmin)]
    assert {page.show_facets for page in large} == {admin.ShowFacets.NEVER}
