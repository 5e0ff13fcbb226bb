"""
An ETL script: copies every file of sync-output to etl-output; run in the job's root.
"""

import shutil
from pathlib import Path

target = Path("etl-output")
target.mkdir(exist_ok=True)
for source in sorted(Path("sync-output").iterdir()):
    shutil.copy(source, target / source.name)
    print(f"copied {source.name}")
