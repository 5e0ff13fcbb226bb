"""Alembic asks for this file; `upgrade.py` drives the migrations itself."""
