"""A minimal script: `requests`, `json`, a loop, without error handling."""

import json
import sys

import requests

session = requests.Session()
session.headers.update({"X-App-Id": "id", "X-App-Token": "token"})
query = {"limit": 100, "order": "created_at", "starting_after": "1970-01-01T00:00:00Z"}
while True:
    rows = session.get(f"{sys.argv[1]}/v1/customers", params=query).json()["customers"]
    if not rows:
        break
    for row in rows:
        row["modified_at"] = row.get("updated_at") or row["created_at"]
        print(json.dumps({"type": "RECORD", "stream": "customers", "record": row}))
    query["starting_after"] = rows[-1]["created_at"]
