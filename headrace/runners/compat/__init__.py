"""
Modules that are copied into a connector's environment; the server itself never imports them.
"""
