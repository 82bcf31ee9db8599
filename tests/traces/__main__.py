"""Writes the kept traces anew: `python -m tests.traces`; a change that is meant shows in them."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.traces.scenarios import SCENARIOS, record

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    for name in SCENARIOS:
        path = FOLDER / f"{name}.pcapng.gz"
        path.write_bytes(gzip.compress(record(name), 9, mtime=0))
        print(f"{path.name}: {path.stat().st_size:,} bytes")
