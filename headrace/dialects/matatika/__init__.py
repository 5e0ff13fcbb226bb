"""The Matatika wire."""
