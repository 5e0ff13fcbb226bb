"""The schema's history: each revision is one SQL file; Alembic keeps the account of what has run."""
