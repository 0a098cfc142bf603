"""Campaigns, vouchers, rewards and publications (reference §12.2 to §12.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voucherify_sandbox.copies import simple_voucher
from voucherify_sandbox.errors import invalid_payload, not_found, refusal
from voucherify_sandbox.prizes import (
    CAMPAIGN_TYPES,
    POOLS,
    VOUCHER_TYPES,
    Prize,
    Referral,
    kind_and_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.identities import Identities


@dataclass
class Programs:
    """Every program object of a project, by its identifier."""

    clock: Clock
    identities: Identities
    campaigns: dict[str, Json] = field(default_factory=dict)
    vouchers: dict[str, Json] = field(default_factory=dict)
    rewards: dict[str, Json] = field(default_factory=dict)
    assignments: dict[str, Json] = field(default_factory=dict)
    publications: dict[str, Json] = field(default_factory=dict)
    holders: dict[str, Json] = field(default_factory=dict)
    transactions: dict[str, Json] = field(default_factory=dict)
    referrals: dict[str, Referral] = field(default_factory=dict)
    _codes: dict[str, str] = field(default_factory=dict)
    _cards: dict[tuple[str, str], Json] = field(default_factory=dict)
    _roles: set[tuple[str, str, str]] = field(default_factory=set)

    def campaign(self, key: str) -> Json:
        """The campaign with this id or name; unknown is 404."""
        found = self.campaigns.get(key) or next(
            (one for one in self.campaigns.values() if one["name"] == key), None
        )
        if found is None:
            raise not_found("campaign", key)
        return found

    def voucher(self, key: str) -> Json:
        """The voucher with this code or id; unknown is 404."""
        found = self.vouchers.get(self._codes.get(key, key))
        if found is None:
            raise not_found("voucher", key)
        return found

    def add_campaign(self, name: str, kind: str, metadata: Json | None = None) -> Json:
        """A campaign of one of the types of §12.4, without vouchers."""
        if any(one["name"] == name for one in self.campaigns.values()):
            raise refusal(400, "duplicate_found", "Duplicate resource found", f"Campaign {name}")
        referral = kind == "REFERRAL_PROGRAM"
        campaign: Json = {
            "id": self.identities.new("camp"),
            "name": name,
            "campaign_type": kind,
            "type": "AUTO_UPDATE",
            "voucher": {"type": VOUCHER_TYPES[kind], "is_referral_code": referral},
            "auto_join": False,
            "join_once": True,
            "use_voucher_metadata_schema": False,
            "is_referral_code": referral,
            "vouchers_count": 0,
            "active": True,
            "metadata": metadata or {},
            "created_at": self.clock.now(),
            "updated_at": None,
            "category_id": None,
            "categories": [],
            "creation_status": "DONE",
            "vouchers_generation_status": "DONE",
            "protected": False,
            "object": "campaign",
        }
        self.campaigns[campaign["id"]] = campaign
        return campaign

    def add_referral_campaign(
        self,
        name: str,
        referee: Mapping[str, int] | None,
        referrer: Mapping[str, int] | None,
        custom_event: str | None = None,
    ) -> Json:
        """A referral campaign with what each party gets, and the pools the rewards come from."""
        parts = [given and kind_and_value(given) for given in (referee, referrer)]
        campaign = self.add_campaign(name, "REFERRAL_PROGRAM")
        rules = Referral(campaign["id"], custom_event=custom_event)
        self.referrals[campaign["id"]] = rules
        program: Json = {"conversion_event_type": "redemption"}
        if custom_event:
            program["conversion_event_type"] = "custom_event"
            program["custom_event"] = {"id": self.identities.new("ms"), "name": custom_event}
        campaign["referral_program"] = program
        if parts[0]:
            rules.referee = self._referee_prize(name, *parts[0], program)
        if parts[1]:
            rules.referrer = self._referrer_prize(campaign, *parts[1])
        return campaign

    def _pool(self, name: str, kind: str) -> Json:
        """The campaign that holds what a reward gives, one per kind and referral campaign."""
        full = f"{name} {POOLS[kind]}"
        known = next((one for one in self.campaigns.values() if one["name"] == full), None)
        return known or self.add_campaign(full, CAMPAIGN_TYPES[kind])

    def _referee_prize(self, name: str, kind: str, value: int, program: Json) -> Prize:
        """A discount is part of the redeemed code; only points and credit name a pool."""
        if kind == "discount":
            return Prize(kind, value, "")
        pool = self._pool(name, kind)
        program["referee_reward"] = {
            "related_object_parent": {"id": pool["id"], "name": pool["name"], "object": "CAMPAIGN"},
            "type": pool["voucher"]["type"],
            "amount": value,
        }
        return Prize(kind, value, pool["id"])

    def _referrer_prize(self, campaign: Json, kind: str, value: int) -> Prize:
        pool, now = self._pool(campaign["name"], kind), self.clock.now()
        reward: Json = {
            "id": self.identities.new("rew"),
            "name": f"{campaign['name']}: {value} {kind.replace('_', ' ')}",
            "stock": None,
            "redeemed": None,
            "type": "CAMPAIGN",
            "parameters": {
                "campaign": {"id": pool["id"], "balance": value, "type": pool["campaign_type"]}
            },
            "attributes": {},
            "metadata": {},
            "created_at": now,
            "updated_at": None,
            "object": "reward",
        }
        assignment: Json = {
            "id": self.identities.new("rewa"),
            "reward_id": reward["id"],
            "related_object_id": campaign["id"],
            "related_object_type": "campaign",
            "created_at": now,
            "updated_at": None,
            "object": "reward_assignment",
        }
        self.rewards[reward["id"]] = reward
        self.assignments[assignment["id"]] = assignment
        tier = self.identities.new("rft")
        return Prize(kind, value, pool["id"], reward["id"], assignment["id"], tier)

    def add_referral_code(self, campaign: Json, referrer: Customer) -> Json:
        """A code of a referral campaign; a referee's discount is what redeeming it takes off."""
        rules = self.referrals.get(campaign["id"])
        if rules is None:
            raise invalid_payload(f"{campaign['name']} is no referral campaign")
        prize = rules.referee
        value = prize.value if prize is not None and prize.kind == "discount" else 0
        return self.add_voucher(campaign, referrer, value)

    def add_voucher(self, campaign: Json, holder: Customer, value: int = 0) -> Json:
        """A new code of a campaign for one customer; the value is cents, points or percent."""
        kind = campaign["voucher"]["type"]
        referral = bool(campaign["is_referral_code"])
        voucher: Json = {
            "id": self.identities.new("v"),
            "code": self.identities.code("REF" if referral else kind[:4]),
            "campaign": campaign["name"],
            "campaign_id": campaign["id"],
            "category_id": None,
            "categories": [],
            "type": kind,
            "discount": {"type": "PERCENT", "percent_off": value} if kind[:1] == "D" else None,
            "gift": {"amount": 0, "balance": 0} if kind[:1] == "G" else None,
            "loyalty_card": {"points": 0, "balance": 0} if kind[:1] == "L" else None,
            "active": True,
            "metadata": {},
            "is_referral_code": referral,
            "created_at": self.clock.now(),
            "updated_at": None,
            "holder_id": holder.id,
            "referrer_id": holder.id if referral else None,
            "publish": {"object": "list", "count": 1},
            "redemption": {"quantity": None, "redeemed_quantity": 0, "object": "list"},
            "object": "voucher",
        }
        self.vouchers[voucher["id"]] = voucher
        self._codes[voucher["code"]] = voucher["id"]
        campaign["vouchers_count"] += 1
        if referral:
            self.add_holder(voucher, holder, "REFERRER")
        return voucher

    def card_of(self, pool: Json, holder: Customer) -> Json:
        """The gift voucher or loyalty card of a customer in a pool; a new one if there is none."""
        key = (pool["id"], holder.id)
        if key not in self._cards:
            self._cards[key] = self.add_voucher(pool, holder)
        return self._cards[key]

    def add_holder(self, voucher: Json, customer: Customer, role: str) -> None:
        """Note who holds a referral code in which role, once (reference §12.7)."""
        known = (voucher["id"], customer.id, role)
        if known in self._roles:
            return
        self._roles.add(known)
        holder: Json = {
            "id": self.identities.new("rh"),
            "created_at": self.clock.now(),
            "redeemable_id": voucher["id"],
            "redeemable_object": "voucher",
            "customer_id": customer.id,
            "holder_role": role,
            "campaign_id": voucher["campaign_id"],
            "campaign_type": self.campaigns[voucher["campaign_id"]]["campaign_type"],
            "voucher_type": voucher["type"],
            "metadata": {},
            "object": "redeemable_holder",
        }
        self.holders[holder["id"]] = holder

    def publish(self, voucher: Json, customer: Customer) -> Json:
        """A publication of one code to one customer (reference §12.2)."""
        publication: Json = {
            "id": self.identities.new("pub"),
            "object": "publication",
            "created_at": self.clock.now(),
            "customer_id": customer.id,
            "tracking_id": None,
            "metadata": {},
            "channel": "API",
            "source_id": None,
            "result": "SUCCESS",
            "customer": customer.simple(),
            "vouchers_id": [voucher["id"]],
            "voucher": simple_voucher(voucher),
        }
        self.publications[publication["id"]] = publication
        return publication
