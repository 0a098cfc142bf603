"""Runs a sync of the connector in Fivetran's SDK and prints its operations as lines of JSON.

`python fivetran_sync.py FOLDER-OF-THE-CONNECTOR < {"configuration": …, "state": …}`; in the
environment of the connector. This is what the server of the SDK hands to Fivetran.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fivetran_connector_sdk.protos import connector_sdk_pb2 as protos
from google.protobuf.json_format import MessageToDict

if __name__ == "__main__":
    sys.path.insert(0, str(Path(sys.argv[1])))
    # Fivetran's lines go to standard output.
    output, sys.stdout = sys.stdout, sys.stderr
    from connector import connector

    given = json.load(sys.stdin)
    tables = connector.Schema(protos.SchemaRequest(configuration=given["configuration"]), None)
    print(json.dumps({"schema": MessageToDict(tables)}), file=output)
    request = protos.UpdateRequest(
        configuration=given["configuration"], state_json=json.dumps(given["state"])
    )
    for response in connector.Update(request, None):
        print(json.dumps(MessageToDict(response)), file=output, flush=True)
