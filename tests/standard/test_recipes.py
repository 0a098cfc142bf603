"""Each recipe of the documentation, as it stands there, on records of that CRM's shape."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from singer import run

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/data"

EXPECTED: dict[str, dict[str, dict[str, Any]]] = {
    "HubSpot": {
        "51": {
            "name": "Zoë Müller",
            "email": "zoe.mueller@example.com",
            "phone": "+49 30 1234567",
            "birthdate": "1990-04-12",
            "metadata": {"lifecycle_stage": "customer", "lifetime_value": 1249.5},
        },
        "151": {"name": "Nguyễn", "metadata": {"lifecycle_stage": "lead"}},
        "351": {"email": "no.name@example.com"},
    },
    "Salesforce": {
        "003AA000001Aaa1YAC": {
            "name": "José García Márquez",
            "birthdate": "1984-11-30",
            "metadata": {"tier": "gold", "newsletter": True},
        },
        "003AA000001AaA1YAK": {"name": "Ola Nowak", "metadata": {"newsletter": False}},
    },
}


def recipe(crm: str) -> dict[str, Any]:
    """The settings that the document gives for a CRM."""
    text = (ROOT / "docs/recipes.md").read_text()
    block = re.search(rf"^## {crm}$.*?^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    config: dict[str, Any] = yaml.safe_load(block[1])[0]["config"]
    return config


@pytest.mark.parametrize("crm", EXPECTED)
def test_the_recipe_makes_customers(crm: str, sandbox: Sandbox, connection: dict[str, Any]) -> None:
    sandbox.project.define_metadata("customer", {"lifetime_value": {"type": "number"}})
    records = (DATA / f"{crm.lower()}-contacts.singer").read_text()

    done = run("target_voucherify", {**connection, **recipe(crm)}, stdin=records)

    assert done.exit_code == 0, done.log
    customers = {c["source_id"]: c for c in sandbox.project.customers.values()}
    assert set(customers) == set(EXPECTED[crm])
    for source_id, fields in EXPECTED[crm].items():
        assert {name: customers[source_id].get(name) for name in fields} == fields


def test_the_recipe_of_postgresql_is_a_part_of_meltano_yml() -> None:
    """`meltano.yml` is run end to end elsewhere; here the document must not say otherwise."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    target = next(p for p in project["plugins"]["loaders"] if p["name"] == "target-voucherify")
    said = recipe("PostgreSQL")
    mapping = said.pop("mapping")

    assert said.items() <= target["config"].items()
    assert mapping.items() <= target["config"]["mapping"].items()
