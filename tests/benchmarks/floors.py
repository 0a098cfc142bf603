"""The least that reading rows can cost: pages are written as they are, or decoded into objects.

`python -m benchmarks.floors FOLDER COUNT KIND copy|decode` reads the bytes that the server sends.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.customers import ready_made

PAGE_ROWS = 100

path, places = ready_made(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
with path.open("rb") as file:
    for number in range(0, len(places) - 1, PAGE_ROWS):
        end = places[min(number + PAGE_ROWS, len(places) - 1)]
        page = b"[%b]" % file.read(end - places[number])[:-1]
        if sys.argv[4] == "copy":
            sys.stdout.buffer.write(page)
        else:
            msgspec.json.decode(page)
