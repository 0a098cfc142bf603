"""A minimal script: `requests`, `json`, a loop, without error handling."""

import json
import sys

import requests

name, time = sys.argv[2:] or ("customers", "created_at")
session = requests.Session()
session.headers.update({"X-App-Id": "id", "X-App-Token": "token"})
query = {"limit": 100, "order": "created_at", "starting_after": "1970-01-01T00:00:00Z"}
while True:
    rows = session.get(f"{sys.argv[1]}/v1/{name}", params=query).json()[name]
    if not rows:
        break
    for row in rows:
        row["modified_at"] = row.get("updated_at") or row[time]
        print(json.dumps({"type": "RECORD", "stream": name, "record": row}))
    query["starting_after"] = rows[-1][time]
