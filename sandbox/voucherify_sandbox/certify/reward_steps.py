"""The step about referrals and rewards, which a probe takes only if it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox.certify.caller import CAMPAIGNS, REWARDS, Unanswered
from voucherify_sandbox.certify.exchange import Call
from voucherify_sandbox.certify.probe import OK, Probe, part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voucherify_sandbox.certify.exchange import Exchange, Json

REWARD_CENTS = 500
ORDER_CENTS = 1000
LOOKS_SECONDS = (3, 10, 30)
"""Seconds after the redemption at which both activities are read."""

_REWARDED = "customer.rewarded"
_STATES = "customer.reward_redemptions."


def referral(probe: Probe) -> None:
    """Let the first customer refer the third, and read what happened to both."""
    credit = _campaign(probe, "credit", {"campaign_type": "GIFT_VOUCHERS"})
    reward = {
        "related_object_parent": {"id": credit["id"], "object": "CAMPAIGN"},
        "type": "GIFT_VOUCHER",
        "amount": REWARD_CENTS,
    }
    program = {"conversion_event_type": "redemption", "referee_reward": reward}
    kind = {"campaign_type": "REFERRAL_PROGRAM", "referral_program": program}
    friends = _campaign(probe, "friends", kind)
    _reward_referrers(probe, credit, friends)
    code = _published(probe, friends)
    redeemed = probe.write(
        "POST",
        "/v1/redemptions",
        {
            "redeemables": [{"object": "voucher", "id": code}],
            "customer": {"id": probe.rows["c3"]["id"]},
            "order": {"source_id": probe.key("o2"), "amount": ORDER_CENTS, "status": "PAID"},
        },
    )
    # Of a request that was repeated the first one may have counted, and the code is used.
    if redeemed.status != OK and not redeemed.repeated:
        raise Unanswered(f"the redemption was refused: {redeemed.words}")
    _look(probe)


def _campaign(probe: Probe, label: str, kind: Json) -> Json:
    """A new campaign that makes codes when they are published."""
    name, code = probe.key(label), {"pattern": "CERT-########"}
    gift = {"type": "GIFT_VOUCHER", "gift": {"amount": 0}, "code_config": code}
    percent = {"type": "PERCENT", "percent_off": 10}
    coupon = {"type": "DISCOUNT_VOUCHER", "discount": percent, "code_config": code}
    voucher = gift if kind["campaign_type"] == "GIFT_VOUCHERS" else coupon
    probe.note_program(CAMPAIGNS)
    body = {"name": name, "type": "AUTO_UPDATE", "join_once": True, "voucher": voucher, **kind}
    made = probe.caller.send("POST", CAMPAIGNS, body)
    if made.repeated and made.status != OK:
        made = probe.caller.get(f"{CAMPAIGNS}/{name}")
    identity = probe.note_program_id(made)
    if identity is None:
        raise Unanswered(f"the campaign was refused: {made.words}")
    return {"id": identity, "name": name}


def _reward_referrers(probe: Probe, credit: Json, friends: Json) -> None:
    """Give the referrer credit too; where that is refused, only the referee is rewarded."""
    probe.note_program(REWARDS)
    parameters = {"campaign": {"id": credit["id"], "balance": REWARD_CENTS}}
    body = {"name": probe.key("reward"), "parameters": parameters}
    made = probe.caller.send("POST", REWARDS, body)
    if identity := probe.note_program_id(made):
        path = f"{REWARDS}/{identity}/assignments"
        made = probe.caller.send("POST", path, {"campaign": friends["id"]})
    if made.status != OK:
        probe.findings.open("reward_redemptions", f"a reward for referrers: {made.words}")


def _published(probe: Probe, friends: Json) -> str:
    """A code of the referral campaign, published to the first customer."""
    body = {
        "campaign": {"name": friends["name"], "count": 1},
        "customer": {"id": probe.rows["c1"]["id"]},
        "channel": "API",
    }
    call = Call(method="POST", path="/v1/publications", query={"join_once": "true"}, body=body)
    made = probe.caller.call(call)
    code = part(made.json, "voucher", "code")
    if made.status != OK or not isinstance(code, str):
        raise Unanswered(f"the publication was refused: {made.words}")
    return code


def _look(probe: Probe) -> None:
    """Read both activities until both are rewarded, or the last look is over."""
    since = probe.caller.last_at
    referee: Sequence[Json] = ()
    referrer: Sequence[Json] = ()
    for seconds in LOOKS_SECONDS:
        probe.caller.pause(since + seconds - probe.caller.last_at)
        referee, referrer = (_events(probe, label) for label in ("c3", "c1"))
        if _of(referee, _REWARDED) and _of(referrer, _STATES):
            break
    rewarded = [*_of(referee, _REWARDED), *_of(referrer, _REWARDED)]
    probe.findings.answer("referee_events", _kinds(referee))
    probe.findings.answer("referrer_events", _kinds(referrer))
    if rewarded:
        seen = f"{probe.caller.last_at - since:.0f} at most"
        probe.findings.answer("reward_seconds", seen)
        _about_instant(probe, rewarded)
        _about_role(probe, _of(referrer, _REWARDED))
    _about_states(probe, _of(referrer, _STATES))


def _events(probe: Probe, label: str) -> Sequence[Json]:
    exchange: Exchange = probe.caller.get(probe.path(label, "/activity"), limit=100)
    rows = exchange.json.get("data")
    if exchange.status != OK or not isinstance(rows, list):
        raise Unanswered(f"the activity answered {exchange.words}")
    return rows


def _of(events: Sequence[Json], kind: str) -> list[Json]:
    """The payloads of a type of event, or of all whose type begins so with a last dot."""
    found = [part(one, "data", "data") for one in events if _is_of(str(one.get("type")), kind)]
    return [payload for payload in found if isinstance(payload, dict)]


def _is_of(name: str, kind: str) -> bool:
    return name.startswith(kind) if kind.endswith(".") else name == kind


def _kinds(events: Sequence[Json]) -> str:
    """The types of events that a referral adds, without `customer.`."""
    names = {str(one.get("type")).removeprefix("customer.") for one in events}
    return ", ".join(sorted(names - {"created", "updated"})) or "none"


def _about_instant(probe: Probe, rewarded: Sequence[Json]) -> None:
    """Which name the redemption's timestamp has inside the event."""
    found = [one["redemption"] for one in rewarded if isinstance(one.get("redemption"), dict)]
    names = [name for name in ("created_at", "date") if any(one.get(name) for one in found)]
    if not names:
        probe.findings.open("redemption_instant", "the event names no redemption with a time")
        return
    probe.findings.answer("redemption_instant", " and ".join(names), names[0])


def _about_role(probe: Probe, rewarded: Sequence[Json]) -> None:
    """What tells a referrer's reward from a referee's."""
    if not rewarded:
        return
    members: dict[str, Any] = {
        name: part(rewarded[0], name, "id") for name in ("referral_tier", "holder", "customer")
    }
    marks = ["referral_tier"] if members["referral_tier"] else []
    if members["customer"] and members["holder"] == members["customer"]:
        marks.append("holder = customer")
    probe.findings.answer("referrer_mark", ", ".join(marks) or "nothing")


def _about_states(probe: Probe, payloads: Sequence[Json]) -> None:
    sources = [one["source"] for one in payloads if one.get("source")]
    if not sources:
        reason = "no such event came within the seconds of the last look"
        probe.findings.open("reward_redemptions", reason)
    elif isinstance(sources[0], str):
        probe.findings.answer("reward_redemptions", "`source` is a text", "activity")
    else:
        probe.findings.answer("reward_redemptions", "`source` is an object", "webhook")
