"""PostgreSQL types of a CRM become customers, through a real PostgreSQL tap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from singer import run

if TYPE_CHECKING:
    from conftest import Meltano
    from voucherify_sandbox import Sandbox

TABLE = """
DROP TABLE IF EXISTS contacts;
CREATE TYPE tier AS ENUM ('silver', 'gold');
CREATE TABLE contacts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    crm_key char(12) NOT NULL,
    full_name varchar(80),
    email text,
    phone bigint,
    born_on date,
    tier tier,
    score numeric(40, 20),
    ratio double precision,
    big bigint,
    vip boolean,
    visits smallint[],
    labels text[],
    extras jsonb,
    seen_at timestamptz,
    _sdc_extracted_at timestamptz DEFAULT now(),
    _sdc_deleted_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO contacts (crm_key, full_name, email, phone, born_on, tier, score, ratio, big, vip,
                      visits, labels, extras, seen_at) VALUES
('k1', 'Zoë "Z" O''Neil', 'zoe@example.com', 49301234567, '1990-04-12', 'gold',
 12345678901234567890.12345678901234567890, 0.1, 9007199254740991, true,
 '{1,2}', '{"a,b","ç"}', '{"deep": {"er": [1, null, "x"]}}', '2026-03-01 10:00:00.123456+02'),
('k2', NULL, NULL, NULL, NULL, NULL, 'NaN', 'NaN', NULL, NULL, NULL, NULL, NULL, 'infinity'),
('K2', '', '', 0, '0001-01-01', 'silver', 0, 'Infinity', -9007199254740991, false,
 '{}', '{}', '[]', '-infinity'),
('k3', 'Too Large', NULL, NULL, NULL, NULL, NULL, NULL, 9007199254740993, NULL,
 NULL, NULL, NULL, NULL);
"""

MAPPING = {
    "name": "full_name",
    "email": "email",
    "phone": "phone",
    "birthdate": "born_on",
    "metadata.tier": "tier",
    "metadata.score": "score",
    "metadata.ratio": "ratio",
    "metadata.big": "big",
    "metadata.vip": "vip",
    "metadata.visits": "visits",
    "metadata.labels": "labels",
    "metadata.extras": "extras",
    "metadata.seen_at": "seen_at",
}


def messages_of_the_tap(meltano: Meltano) -> str:
    process = meltano.start("--log-level=critical", "invoke", "tap-postgres")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return "".join(line for line in output.splitlines(keepends=True) if line.startswith('{"type"'))


def test_the_types_of_a_real_crm_arrive(
    meltano: Meltano, sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    with psycopg.connect(meltano.crm) as crm:
        crm.execute(TABLE)
    messages = messages_of_the_tap(meltano)
    assert messages.count('"RECORD"') == 4

    done = run(
        "target_voucherify",
        {
            **connection,
            "customers_stream": "public-contacts",
            "source_id": "crm_key",
            "mapping": MAPPING,
            "refused_records_path": str(meltano.refused),
            "max_refused_percent": 50,
        },
        stdin=messages,
    )

    assert done.exit_code == 0, done.log
    refused = [json.loads(line) for line in meltano.refused.read_text().splitlines()]
    reasons = [m["record"]["_refused_reason"] for m in refused if m["type"] == "RECORD"]
    assert len(reasons) == 1
    assert "metadata.big is an integer beyond 2^53" in reasons[0]
    customers = {c["source_id"]: c for c in sandbox.project.customers.values()}
    assert set(customers) == {"k1", "k2", "K2"}
    first = customers["k1"]
    assert first["name"] == 'Zoë "Z" O\'Neil'
    assert first["phone"] == "49301234567"
    assert first["birthdate"] == "1990-04-12"
    assert first["metadata"]["big"] == 9_007_199_254_740_991
    assert first["metadata"]["visits"] == [1, 2]
    assert first["metadata"]["labels"] == ["a,b", "ç"]
    assert "zoe@example.com" not in done.log
    assert "Traceback" not in done.log
    assert json.loads(done.stdout.splitlines()[-1])["bookmarks"]["public-contacts"]
