"""
An ETL script that takes memory, 8 MiB at a time, until somebody stops it.
"""

held = []
while True:
    held.append(b"\x01" * (8 << 20))
