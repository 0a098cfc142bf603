"""A minimal script for a list by page number: `requests`, `json`, a loop."""

import json
import sys

import requests

url, name = sys.argv[1:]
session = requests.Session()
session.headers.update({"X-App-Id": "id", "X-App-Token": "token"})
page = 1
while True:
    query = {"limit": 100, "order": "-created_at", "page": page}
    rows = session.get(f"{url}/v1/{name}", params=query).json()[name]
    if not rows:
        break
    for row in rows:
        row["modified_at"] = row.get("updated_at") or row["created_at"]
        print(json.dumps({"type": "RECORD", "stream": name, "record": row}))
    page += 1
