"""Nouns and decisions: no clock, no file, no socket, no process, no chance."""
