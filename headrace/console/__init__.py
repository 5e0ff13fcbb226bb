"""The web console: pages that speak the core API alone."""
