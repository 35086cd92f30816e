"""Outbound webhooks: who subscribed to events, and the durable delivery of events to them."""
