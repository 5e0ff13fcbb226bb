"""
An ETL script that leaves its message in errors.txt, as gluestick does, and fails.
"""

import sys
from pathlib import Path

Path("errors.txt").write_text("ERROR: The price list is empty. Cause: KeyError('price')")
print("some other last line", file=sys.stderr)
sys.exit(1)
