"""Headrace's own wire."""
