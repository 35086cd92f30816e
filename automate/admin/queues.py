"""Messages in named queues in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from automate.models.queue import QueueMessage
from automate_core.admin_base import moment, shown_redacted
from automate_core.admin_large import LargeAdmin


@admin.register(QueueMessage)
class QueueMessageAdmin(LargeAdmin):
    """What workflows left for others and nobody has read yet."""

    list_display = ("id", "queue", "size", "created", "tenant")
    list_filter = ("queue", "created_at", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("queue",)
    search_help_text = "An id finds any row; other text is searched in the newest 10,000 rows."
    ordering = ("-id",)
    sortable_by = ("id",)
    fields = ("id", "tenant", "queue", "size", "written_by", "created", "shown_body")

    @admin.display(description="created at")
    def created(self, message: QueueMessage) -> SafeString:
        """Show when it was written."""
        return moment(message.created_at)

    @admin.display(description="body")
    def shown_body(self, message: QueueMessage) -> SafeString:
        """Show the message, redacted."""
        return shown_redacted(message.body)
