"""The hotglue wire."""
