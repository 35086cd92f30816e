"""The engine's app: registers steps, the outbox handler, duties and model triggers."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateConfig(AppConfig):
    """Events, automations and their executions."""

    name = "automate"
    verbose_name = "Automate"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what the engine brings."""
        from automate import admission, doctor, model_triggers
        from automate.aftermath import FinishedHandler
        from automate.approvals.steps import register_approval_step
        from automate.endpoints import register_automation_backend
        from automate.executions import overdue, watchers
        from automate.limits.debounce import DebounceHandler
        from automate.nodes.register import register_nodes
        from automate.outbox_handlers import EngineHandler
        from automate.realtime import broadcast
        from automate.runtime.builtin import register_builtin_steps
        from automate.schedules import fire_due
        from automate.subscriptions.delivery import DeliveryHandler
        from automate.subworkflows import register_subworkflow_step
        from automate.waits.steps import register_wait_steps
        from automate.webhooks.respond import register_respond_step
        from automate_core.outbox.duties import Duty, duty_registry
        from automate_core.outbox.handlers import handler_registry, register_handler

        register_builtin_steps()
        register_nodes()
        register_subworkflow_step()
        register_wait_steps()
        register_approval_step()
        register_respond_step()
        register_automation_backend()
        if "event" not in handler_registry:
            register_handler(EngineHandler)
            register_handler(FinishedHandler)
            register_handler(admission.AdmissionHandler)
            register_handler(DebounceHandler)
            register_handler(DeliveryHandler)
            duty_registry.register("admission", admission.OVERLOOKED)
            duty_registry.register("schedules", Duty("schedules", 1.0, fire_due))
            duty_registry.register("overdue", Duty("overdue", 5.0, overdue.announce_overdue))
        doctor.register()
        model_triggers.connect()
        watchers.connect()
        broadcast.connect()
