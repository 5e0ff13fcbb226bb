"""Headrace: a self-hosted job server for data integration."""

__version__ = "0.1.0"
