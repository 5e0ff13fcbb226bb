"""Payloads owed to others: webhooks and their signing."""
