"""Campaigns, vouchers, rewards and publications."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voucherify_sandbox.copies import simple_voucher
from voucherify_sandbox.errors import invalid_payload, not_found, refusal
from voucherify_sandbox.referral_rules import (
    CAMPAIGN_TYPES,
    POOLS,
    VOUCHER_TYPES,
    ReferralRules,
    Reward,
    kind_and_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator

_KINDS = {campaign_type: kind for kind, campaign_type in CAMPAIGN_TYPES.items()}
"""The kind of reward that a type of campaign holds."""


def code_name(kind: str, *, referral: bool) -> str:
    """The readable beginning of a code."""
    return "REF" if referral else kind[:4]


@dataclass(frozen=True)
class EarningRule:
    """What a loyalty card earns: a point for so many cents of each paid order."""

    id: str
    cents_per_point: int


@dataclass
class Programs:
    """The program objects of a project by id."""

    clock: Clock
    ids: IdGenerator
    campaigns: dict[str, Json] = field(default_factory=dict)
    vouchers: dict[str, Json] = field(default_factory=dict)
    rewards: dict[str, Json] = field(default_factory=dict)
    assignments: dict[str, Json] = field(default_factory=dict)
    publications: dict[str, Json] = field(default_factory=dict)
    holders: dict[str, Json] = field(default_factory=dict)
    transactions: dict[str, Json] = field(default_factory=dict)
    referrals: dict[str, ReferralRules] = field(default_factory=dict)
    earning_rules: dict[str, EarningRule] = field(default_factory=dict)
    """By the id of the loyalty campaign."""
    _codes: dict[str, str] = field(default_factory=dict)
    _cards: dict[tuple[str, str], Json] = field(default_factory=dict)
    _roles: set[tuple[str, str, str]] = field(default_factory=set)

    def campaign(self, key: str) -> Json:
        """The campaign with this id or name; 404 if there is none."""
        found = self.campaigns.get(key) or next(
            (one for one in self.campaigns.values() if one["name"] == key), None
        )
        if found is None:
            raise not_found("campaign", key)
        return found

    def voucher(self, key: str) -> Json:
        """The voucher with this code or id; 404 if there is none."""
        found = self.vouchers.get(self._codes.get(key, key))
        if found is None:
            raise not_found("voucher", key)
        return found

    def add_campaign(self, name: str, kind: str, metadata: Json | None = None) -> Json:
        """Add a campaign without vouchers; `kind` is its `campaign_type`."""
        if any(one["name"] == name for one in self.campaigns.values()):
            raise refusal(400, "duplicate_found", "Duplicate resource found", f"Campaign {name}")
        referral = kind == "REFERRAL_PROGRAM"
        campaign: Json = {
            "id": self.ids.new("camp"),
            "name": name,
            "campaign_type": kind,
            "type": "AUTO_UPDATE",
            "voucher": {
                "type": VOUCHER_TYPES[kind],
                "is_referral_code": referral,
                "code_config": self._code_config(kind, referral=referral),
            },
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

    @staticmethod
    def _code_config(kind: str, *, referral: bool) -> Json:
        """How the codes of a campaign are made."""
        prefix = f"{code_name(VOUCHER_TYPES[kind], referral=referral)}-"
        return {
            "length": 8,
            "charset": "0123456789ABCDEF",
            "prefix": prefix,
            "pattern": f"{prefix}########",
        }

    def add_referral_campaign(
        self,
        name: str,
        referee: Mapping[str, int] | None,
        referrer: Mapping[str, int] | None,
        custom_event: str | None = None,
    ) -> Json:
        """Add a referral campaign with its rewards, and the campaigns that hold them."""
        parts = [given and kind_and_value(given) for given in (referee, referrer)]
        campaign = self.add_campaign(name, "REFERRAL_PROGRAM")
        rules = ReferralRules(campaign["id"], custom_event=custom_event)
        self.referrals[campaign["id"]] = rules
        program: Json = {"conversion_event_type": "redemption"}
        if custom_event:
            program["conversion_event_type"] = "custom_event"
            program["custom_event"] = {"id": self.ids.new("ms"), "name": custom_event}
        campaign["referral_program"] = program
        if parts[0]:
            rules.referee = self._referee_rule(name, *parts[0], program)
        if parts[1]:
            rules.referrer = self._referrer_rule(campaign, *parts[1])
        return campaign

    def add_open_referral_campaign(self, name: str, pool: Json | None, amount: int) -> Json:
        """Add a referral campaign whose referees get an amount from a campaign that holds it."""
        campaign = self.add_campaign(name, "REFERRAL_PROGRAM")
        program: Json = {"conversion_event_type": "redemption"}
        campaign["referral_program"] = program
        rules = ReferralRules(campaign["id"])
        self.referrals[campaign["id"]] = rules
        if pool is not None:
            rules.referee = self._referee_from(pool, amount, program)
        return campaign

    def _pool(self, name: str, kind: str) -> Json:
        """The campaign that holds a kind of reward, one per kind and referral campaign."""
        full = f"{name} {POOLS[kind]}"
        known = next((one for one in self.campaigns.values() if one["name"] == full), None)
        return known or self.add_campaign(full, CAMPAIGN_TYPES[kind])

    def _referee_rule(self, name: str, kind: str, value: int, program: Json) -> Reward:
        """The referee's reward; a discount is part of the redeemed code and needs no pool."""
        if kind == "discount":
            return Reward(kind, value, "")
        return self._referee_from(self._pool(name, kind), value, program)

    @staticmethod
    def _referee_from(pool: Json, value: int, program: Json) -> Reward:
        program["referee_reward"] = {
            "related_object_parent": {"id": pool["id"], "name": pool["name"], "object": "CAMPAIGN"},
            "type": pool["voucher"]["type"],
            "amount": value,
        }
        return Reward(_KINDS[pool["campaign_type"]], value, pool["id"])

    def _referrer_rule(self, campaign: Json, kind: str, value: int) -> Reward:
        pool = self._pool(campaign["name"], kind)
        name = f"{campaign['name']}: {value} {kind.replace('_', ' ')}"
        reward = self.add_reward(name, pool, value)
        assignment = self._add_assignment(reward, campaign)
        tier = self.ids.new("rft")
        return Reward(kind, value, pool["id"], reward["id"], assignment["id"], tier)

    def add_reward(self, name: str, pool: Json, balance: int) -> Json:
        """Add a reward: credit in cents, points or percent from a campaign that holds them."""
        reward: Json = {
            "id": self.ids.new("rew"),
            "name": name,
            "stock": None,
            "redeemed": None,
            "type": "CAMPAIGN",
            "parameters": {
                "campaign": {"id": pool["id"], "balance": balance, "type": pool["campaign_type"]}
            },
            "attributes": {},
            "metadata": {},
            "created_at": self.clock.now(),
            "updated_at": None,
            "object": "reward",
        }
        self.rewards[reward["id"]] = reward
        return reward

    def _add_assignment(self, reward: Json, campaign: Json) -> Json:
        assignment: Json = {
            "id": self.ids.new("rewa"),
            "reward_id": reward["id"],
            "related_object_id": campaign["id"],
            "related_object_type": "campaign",
            "created_at": self.clock.now(),
            "updated_at": None,
            "object": "reward_assignment",
        }
        self.assignments[assignment["id"]] = assignment
        return assignment

    def assign(self, reward: Json, campaign: Json) -> Json:
        """Assign a reward to a campaign; with one of referrals, its referrers receive it."""
        assignment = self._add_assignment(reward, campaign)
        rules, given = self.referrals.get(campaign["id"]), reward["parameters"]["campaign"]
        if rules is not None:
            kind, ids = _KINDS[given["type"]], (given["id"], reward["id"], assignment["id"])
            rules.referrer = Reward(kind, given["balance"], *ids, self.ids.new("rft"))
        return assignment

    def remove_reward(self, identity: str) -> None:
        """Delete a reward and its assignments."""
        del self.rewards[identity]
        for rules in self.referrals.values():
            if rules.referrer is not None and rules.referrer.reward_id == identity:
                rules.referrer = None
        self._drop(self.assignments, "reward_id", {identity})

    def remove_campaign(self, identity: str) -> set[str]:
        """Delete a campaign with its codes and assignments; returns the ids of the codes."""
        self.campaigns.pop(identity, None)
        self.referrals.pop(identity, None)
        for rules in self.referrals.values():
            if rules.referee is not None and rules.referee.pool_id == identity:
                rules.referee = None
            if rules.referrer is not None and rules.referrer.pool_id == identity:
                rules.referrer = None
        gone = {key for key, one in self.vouchers.items() if one["campaign_id"] == identity}
        self._codes = {code: key for code, key in self._codes.items() if key not in gone}
        self._cards = {key: one for key, one in self._cards.items() if one["id"] not in gone}
        self._drop(self.vouchers, "id", gone)
        self._drop(self.holders, "redeemable_id", gone)
        self._drop(self.assignments, "related_object_id", {identity})
        self._drop(self.transactions, "voucher_id", gone)
        for key in [key for key, one in self.publications.items() if gone & {*one["vouchers_id"]}]:
            del self.publications[key]
        return gone

    @staticmethod
    def _drop(rows: dict[str, Json], member: str, values: set[str]) -> None:
        for key in [key for key, one in rows.items() if one[member] in values]:
            del rows[key]

    def add_referral_code(self, campaign: Json, referrer: Customer) -> Json:
        """Add a code of a referral campaign; it carries the discount of the referee."""
        rules = self.referrals.get(campaign["id"])
        if rules is None:
            raise invalid_payload(f"{campaign['name']} is no referral campaign")
        rule = rules.referee
        value = rule.value if rule is not None and rule.kind == "discount" else 0
        return self.add_voucher(campaign, referrer, value)

    def add_voucher(self, campaign: Json, holder: Customer, value: int = 0) -> Json:
        """Add a code of a campaign for one customer; `value` is the percentage of a discount."""
        kind = campaign["voucher"]["type"]
        referral = bool(campaign["is_referral_code"])
        voucher: Json = {
            "id": self.ids.new("v"),
            "code": self.ids.code(code_name(kind, referral=referral)),
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
        """The gift voucher or loyalty card of a customer in a pool, created if there is none."""
        key = (pool["id"], holder.id)
        if key not in self._cards:
            self._cards[key] = self.add_voucher(pool, holder)
        return self._cards[key]

    def add_earning_rule(self, campaign: Json, cents_per_point: int) -> None:
        """Let the cards of a loyalty campaign earn a point for so many cents of a paid order."""
        rule = EarningRule(self.ids.new("earn"), cents_per_point)
        self.earning_rules[campaign["id"]] = rule

    def earning_cards(self, holder: Customer) -> list[tuple[Json, EarningRule]]:
        """The loyalty cards of a customer that earn points by orders, each with its rule."""
        return [
            (self._cards[campaign_id, holder.id], rule)
            for campaign_id, rule in self.earning_rules.items()
            if (campaign_id, holder.id) in self._cards
        ]

    def add_holder(self, voucher: Json, customer: Customer, role: str) -> None:
        """Add a customer as holder of a referral code in a role, once."""
        known = (voucher["id"], customer.id, role)
        if known in self._roles:
            return
        self._roles.add(known)
        holder: Json = {
            "id": self.ids.new("rh"),
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

    def publish(self, voucher: Json, customer: Customer, more: Json) -> Json:
        """Add a publication of one code to one customer; `more` holds members of the request."""
        publication: Json = {
            "id": self.ids.new("pub"),
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
            **more,
        }
        self.publications[publication["id"]] = publication
        return publication
