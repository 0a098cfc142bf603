"""Voucherify's own Python SDK parses every answer that the sandbox gives it.

The SDK is no dependency: the test installs it into an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from voucherify_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

SDK = "voucherify==6.1.1"
JUDGE = Path(__file__).parent / "official_sdk" / "judge.py"
OPERATIONS = {
    "create_customer",
    "update_customer",
    "get_customer",
    "list_customers",
    "list_customer_activity",
    "list_customer_segments",
    "list_customer_redeemables",
    "update_customers_in_bulk",
    "update_customers_metadata_in_bulk",
    "import_customers_using_csv",
    "get_async_action",
    "list_async_actions",
    "customer_permanently_deletion",
    "delete_customer",
    "create_export",
    "get_export",
    "list_exports",
    "delete_export",
    "list_campaigns",
    "get_campaign",
    "list_campaign_transactions",
    "list_vouchers",
    "get_voucher",
    "list_voucher_transactions",
    "list_rewards",
    "get_reward",
    "list_reward_assignments",
    "get_reward_assignment",
    "list_redemptions",
    "get_redemption",
    "referrals_code_holders",
    "referrals_code_holders1",
    "list_publications",
    "create_publication",
    "create_order",
    "get_order",
    "list_orders",
    "get_segment",
    "list_metadata_schemas",
    "get_metadata_schema",
    "track_custom_event",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the SDK."""
    folder = tmp_path_factory.mktemp("sdk")
    venv.create(folder, with_pip=True)
    found = folder / "bin" / "python"
    line = [found, "-m", "pip", "install", "--quiet", "--no-compile", SDK]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return found


def judged(python: Path, sandbox: Sandbox, known: Mapping[str, Any]) -> Any:
    """What the SDK parsed and what it could not, as `problems` and `parsed`."""
    done = subprocess.run(
        [python, JUDGE, sandbox.url, sandbox.application_id, sandbox.secret_key],
        input=json.dumps(known),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    leaks.saw(done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def filled(sandbox: Sandbox, referee: Mapping[str, int] | None) -> dict[str, Any]:
    """Fill a project with each kind of object; returns the keys to read."""
    project = sandbox.project
    project.define_metadata("customer", {"tier": {"type": "string"}})
    for name, kind in (("Credit", "gift_credit"), ("Points", "loyalty_points")):
        project.create_referral_campaign(name, referee_reward=referee, referrer_reward={kind: 1000})
        code = project.referral_code(name, {"source_id": "ann", "name": "Ann"})
        redeemed = project.redeem(code, f"bob-{name}", {"source_id": name, "amount": 1000})
    project.roll_back(redeemed)
    segment = project.create_segment("All", ["ann"])
    project.settle()
    return {
        "customer": "ann",
        "campaign": "Points",
        "code": code,
        "segment": segment["id"],
        "campaigns": list(project.programs.campaigns),
        "vouchers": [one["code"] for one in project.programs.vouchers.values()],
        "redemptions": list(project.records.redemptions),
    }


def test_the_sdk_parses_every_answer(python: Path) -> None:
    with Sandbox() as sandbox:
        verdict = judged(python, sandbox, filled(sandbox, {"discount": 10}))
    assert verdict["problems"] == []
    assert set(verdict["parsed"]) == OPERATIONS


def test_only_the_amount_of_a_referee_reward_is_published_otherwise(python: Path) -> None:
    # The description says integer, the SDK takes text alone. The description is the later one.
    with Sandbox() as sandbox:
        verdict = judged(python, sandbox, filled(sandbox, {"gift_credit": 500}))
    found = {problem.partition(" Input ")[0] for problem in verdict["problems"]}
    assert {problem.partition(":")[0] for problem in found} == {"list_campaigns", "get_campaign"}
    assert all("ReferralProgramRefereeReward amount" in problem for problem in found)
