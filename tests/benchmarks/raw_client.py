"""The fastest possible reader: a socket, without decoding.

It shows how much of a contestant's time is the server's.
"""

from __future__ import annotations

import http.client
import sys
from urllib.parse import urlsplit

connection = http.client.HTTPConnection(urlsplit(sys.argv[1]).netloc)
page = 1
while True:
    connection.request("GET", f"/v1/customers?limit=100&order=created_at&page={page}")
    body = connection.getresponse().read()
    if b'"customers":[]' in body:
        break
    sys.stdout.buffer.write(body)
    page += 1
