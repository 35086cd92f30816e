"""Query parameters of lists, at home in `automate_api.filters`."""

from automate_api.filters import MAX_TEXT, Params, boolean, choice, moment, ordering, text, uuid

__all__ = ["MAX_TEXT", "Params", "boolean", "choice", "moment", "ordering", "text", "uuid"]
