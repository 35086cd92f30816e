"""Reserved for a later release; nothing to import yet."""
