"""
An ETL script that never ends and uses a whole core; it says its process id first.
"""

import os

print(f"pid {os.getpid()}", flush=True)
while True:
    pass
