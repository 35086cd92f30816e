"""Saves orders inside transactions, and prints what that started."""

import json
import sys
from decimal import Decimal

from django.core.management.base import BaseCommand
from django.db import transaction
from people.models import User

from automate.models import Event, Execution, StepRun
from automate.workflows import create_workflow
from automate_core.outbox.drain import Drain
from shop.models import Order

GRAPH = {
    "nodes": [
        {
            "id": "note",
            "type": "transform",
            "config": {"output": "{{ event.payload.object.number }} {{ event.payload.object.total }}"},
        },
        {"id": "log", "type": "logging", "config": {"message": "order {{ event.payload.pk }}"}},
    ]
}


class Command(BaseCommand):
    """Run the scenario."""

    def handle(self, **options):
        user = User.objects.create_user("ann", nickname="Annie")
        create_workflow(
            name="New order", trigger_type="model", trigger_config={"model": "shop.Order", "changes": ["created"]},
            graph=GRAPH, by="host", user=user,
        )  # fmt: skip
        try:
            with transaction.atomic():
                Order.objects.create(number="lost", total="2.00", customer=user)
                raise LookupError
        except LookupError:
            pass
        with transaction.atomic():
            order = Order.objects.create(number="kept", total=Decimal("9.99"), customer=user)
            before = Execution.objects.count()
        order.total = Decimal("10.00")
        order.save()
        Drain().run_until_empty()
        self.stdout.write(
            json.dumps(
                {
                    "before": before,
                    "events": list(Event.objects.order_by("id").values_list("type", flat=True)),
                    "executions": list(Execution.objects.values_list("status", flat=True)),
                    "steps": list(
                        StepRun.objects.order_by("seq").values_list("path", "status", "output_data")
                    ),
                    "order": order.pk,
                    "rest_framework": sorted(
                        name for name in sys.modules if name.startswith("rest_framework")
                    ),
                    "automate": sys.modules["automate"].__file__,
                }
            )
        )
