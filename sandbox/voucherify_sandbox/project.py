"""One Voucherify project: its state, and the methods that change it from Python."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from threading import RLock
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import metadata
from voucherify_sandbox.balances import Balances
from voucherify_sandbox.customer_view import CustomerView
from voucherify_sandbox.delayed_effects import DelayedEffects
from voucherify_sandbox.errors import not_found
from voucherify_sandbox.exports import Exports
from voucherify_sandbox.ids import IdGenerator
from voucherify_sandbox.jobs import JobQueue
from voucherify_sandbox.loyalty import Loyalty
from voucherify_sandbox.people import People
from voucherify_sandbox.products import Products
from voucherify_sandbox.programs import Programs
from voucherify_sandbox.promotions import Promotions
from voucherify_sandbox.records import Records
from voucherify_sandbox.redemption_flow import RedemptionFlow
from voucherify_sandbox.reward_payout import RewardPayout
from voucherify_sandbox.segments import Segments
from voucherify_sandbox.serialization import decorate, serialize
from voucherify_sandbox.webhooks import Webhook, Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from voucherify_sandbox.access import Access
    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.readings import Readings

_AT_ONCE = timedelta()


class Project:
    """The state of one project. Hold `lock` across several reads or writes."""

    readings: Readings

    def __init__(self, clock: Clock, readings: Readings, access: Access) -> None:
        """Create an empty project."""
        self.lock = RLock()
        self.clock = clock
        self.readings = readings
        self.access = access
        self.ids = IdGenerator("voucherify")
        self.request_id = ""
        self.delayed = DelayedEffects(clock, readings)
        self.people = People(clock, readings, self.ids)
        self.people.group = lambda: self.request_id or self.ids.request()
        self.programs = Programs(clock, self.ids)
        self.balances = Balances(self.people, self.programs)
        self.reward_payout = RewardPayout(self.people, self.programs, self.balances)
        self.records = Records(clock, self.ids)
        self.products = Products(clock, self.ids)
        self.promotions = Promotions(clock, self.ids)
        self.loyalty = Loyalty(clock, self.ids)
        self.redemption_flow = RedemptionFlow(
            self.people,
            self.programs,
            self.reward_payout,
            self.balances,
            self.delayed,
            self.records,
        )
        self.jobs = JobQueue(clock, readings)
        self.schemas: dict[str, Json] = {}
        self.exports = Exports(clock, readings, self.ids, self._exported)
        self.segments = Segments(clock, self.ids)
        self.webhooks = Webhooks(self.lock, readings, IdGenerator("webhooks"))
        self.people.notify = self.webhooks.notify

    def show(self, resource: Json) -> Json:
        """A resource as a response holds it, with the nulls and unknown members of the readings."""
        return decorate(resource, self.readings)

    def plain(self, resource: Json) -> Json:
        """A resource with every member it has, timestamps as text, for tests to compare with."""
        shown: Json = serialize(resource, self.readings)
        return shown

    # Customers

    @property
    def customers(self) -> Mapping[str, Json]:
        """Every customer that exists, by id, each as the API would show it now."""
        self.catch_up()
        return CustomerView(self.lock, self.people.by_id, self.plain)

    def customer_by_source_id(self, source_id: str) -> Json | None:
        """One customer as the API would show it; `None` if there is none."""
        with self.lock:
            self.catch_up()
            customer = self.people.with_source_id(source_id)
            return None if customer is None else self.plain(customer.resource())

    def upsert_customer(self, fields: Json) -> Json:
        """Create or update one customer as `POST /v1/customers` does."""
        with self.lock:
            self.catch_up()
            return self.plain(self.people.upsert(fields).resource())

    def update_customer(self, key: str, fields: Json) -> Json:
        """Change one customer, named by id or source_id."""
        with self.lock:
            self.catch_up()
            customer = self.people.update(self.people.get(key), fields, bulk=False)
            return self.plain(customer.resource())

    def delete_customer(self, key: str) -> None:
        """Delete one customer, named by id or source_id."""
        with self.lock:
            self.catch_up()
            self.people.delete(key)

    def add_customers(
        self,
        count: int,
        *,
        prefix: str = "crm",
        created_at: datetime | None = None,
        spread: timedelta = _AT_ONCE,
        updated_at: datetime | None = None,
    ) -> list[str]:
        """Add many customers without validation, and return their ids.

        Args:
            count: how many; their source_ids are `<prefix>-0`, `<prefix>-1` and so on.
            prefix: what their source_ids begin with.
            created_at: when the first was created; now if `None`.
            spread: time between the first creation and the last; 0 gives all the same time.
            updated_at: when the last one was updated, the others as far apart as their
                creations; `None` leaves all of them never updated.
        """
        with self.lock:
            start = created_at or self.clock.now()
            step = spread / max(1, count - 1)
            added = []
            for number in range(count):
                customer = self.people.add(f"{prefix}-{number}", start + number * step)
                customer.profile = {
                    "name": f"Customer {number}",
                    "email": f"{prefix}.{number}@example.com",
                    "phone": f"+1 555 {number:07}",
                }
                if updated_at is not None:
                    customer.updated_at = updated_at - (count - 1 - number) * step
                added.append(customer.id)
            return added

    # Any list

    @property
    def hidden(self) -> set[str]:
        """Ids of rows that `total` counts but no page or export holds."""
        return self.people.hidden

    def hide(self, identity: str) -> None:
        """Leave one row out of every page and export, although `total` counts it."""
        with self.lock:
            self.hidden.add(identity)

    def remove(self, kind: str, position: int) -> str:
        """Delete one row by its position, from 0 for the oldest or from -1 for the newest.

        Raises:
            ApiError: 404, there is no such row.
        """
        with self.lock:
            rows, identity = self._row(kind, position)
            if kind == "customers":
                self.people.delete(identity)
            else:
                del rows[identity]
            return identity

    def change(self, kind: str, position: int, fields: Mapping[str, Any]) -> str:
        """Update one row by its position, counted as for `remove`.

        Raises:
            ApiError: 404, there is no such row.
        """
        with self.lock:
            rows, identity = self._row(kind, position)
            if kind == "customers":
                self.people.update(rows[identity], fields, bulk=False)
            else:
                rows[identity] |= {**fields, "updated_at": self.clock.now()}
            return identity

    def _row(self, kind: str, position: int) -> tuple[dict[str, Any], str]:
        """The rows of a kind, and the id of the one at a position."""
        self.catch_up()
        kinds: dict[str, dict[str, Any]] = {
            "customers": self.people.by_id,
            "redemptions": self.records.redemptions,
            "orders": self.records.orders,
            "publications": self.programs.publications,
            "campaigns": self.programs.campaigns,
            "vouchers": self.programs.vouchers,
            "rewards": self.programs.rewards,
            "segments": self.segments.all,
            "products": self.products.all,
            "skus": self.products.skus,
            "promotion_tiers": self.promotions.tiers,
            "promotion_stacks": self.promotions.stacks,
            "loyalty_tiers": self.loyalty.tiers,
            "pending_points": self.loyalty.pending_points,
            "validation_rules": self.promotions.rules,
            "validation_rule_assignments": self.promotions.assignments,
        }
        ids = list(kinds[kind])
        if not -len(ids) <= position < len(ids):
            raise not_found(kind, str(position))
        return kinds[kind], ids[position]

    # Products

    def create_product(self, fields: Json, skus: Iterable[Json] = ()) -> Json:
        """A product and its SKUs, each with the members of a request.

        A product with the same `source_id` that is there already gets the SKUs.
        """
        with self.lock:
            known = self.products.find(str(fields.get("source_id")))
            product = known or self.products.add(fields)
            for sku in skus:
                self.products.add_sku(product, sku)
            return self.plain(product)

    # Promotions

    def create_promotion(
        self, name: str, percents: Sequence[int], *, least_amount: int | None = None
    ) -> Json:
        """A promotion campaign with a tier for each discount, and a stack of them.

        Args:
            name: of the campaign; one that is there already gets the tiers.
            percents: the discounts.
            least_amount: what an order must be worth, which makes a rule that all tiers have.
        """
        with self.lock:
            found = [one for one in self.programs.campaigns.values() if one["name"] == name]
            campaign = found[0] if found else self.programs.add_campaign(name, "PROMOTION")
            promotions = self.promotions
            rule = None if least_amount is None else promotions.add_rule(name, least_amount)
            tiers = [
                promotions.add_tier(campaign, f"{name}: {percent} %", percent, rule)
                for percent in percents
            ]
            promotions.add_stack(campaign, name, tiers)
            return self.plain(campaign)

    # Loyalty

    def add_loyalty_tier(self, campaign: str, name: str, points: tuple[int, int]) -> Json:
        """A tier of a loyalty campaign (id or name), from and to some points."""
        with self.lock:
            return self.plain(self.loyalty.add_tier(self.programs.campaign(campaign), name, points))

    def add_pending_points(
        self, campaign: str, holder: str | Mapping[str, Any], points: int
    ) -> Json:
        """Points that an order brings to a card of a loyalty campaign (id or name) in 30 days."""
        with self.lock:
            customer = self.redemption_flow.customer(holder)
            card = self.programs.card_of(self.programs.campaign(campaign), customer)
            order = self.redemption_flow.place_order({"amount": 100 * points}, customer)
            day = (self.clock.now() + timedelta(days=30)).date()
            return self.plain(self.loyalty.add_pending_points(card, order, points, day))

    # Programs

    def create_referral_campaign(
        self,
        name: str,
        *,
        referee_reward: Mapping[str, int] | None = None,
        referrer_reward: Mapping[str, int] | None = None,
        custom_event: str | None = None,
    ) -> Json:
        """A referral campaign.

        Args:
            name: its name, unique in the project.
            referee_reward: `{"gift_credit": cents}`, `{"loyalty_points": points}` or
                `{"discount": percent}` for the customer that redeems a code.
            referrer_reward: the same for the customer that shared the code.
            custom_event: the event that converts; by default the redemption does.
        """
        with self.lock:
            made = self.programs.add_referral_campaign(
                name, referee_reward, referrer_reward, custom_event
            )
            return self.plain(made)

    def create_campaign(
        self, name: str, campaign_type: str, *, cents_per_point: int | None = None
    ) -> Json:
        """A campaign other than a referral one, without codes.

        Args:
            name: its name, unique in the project.
            campaign_type: `DISCOUNT_COUPONS`, `GIFT_VOUCHERS` or `LOYALTY_PROGRAM`.
            cents_per_point: of a loyalty program: a card earns a point for so many cents of the
                holder's paid orders; nothing by default.
        """
        with self.lock:
            made = self.programs.add_campaign(name, campaign_type)
            if cents_per_point is not None:
                self.programs.add_earning_rule(made, cents_per_point)
            return self.plain(made)

    def publish(self, campaign: str, customer: str | Mapping[str, Any], value: int = 0) -> str:
        """Publish a code of a campaign (id or name) to a customer.

        Args:
            campaign: one of coupons, gift vouchers or a loyalty program.
            customer: id, source_id or fields.
            value: percent that a coupon takes off, cents on a gift voucher, points on a card.
        """
        with self.lock:
            self.catch_up()
            found = self.programs.campaign(campaign)
            holder = self.redemption_flow.customer(customer)
            return str(self.redemption_flow.publish_new(found, holder, value)["code"])

    def place_order(self, customer: str | Mapping[str, Any], order: Json) -> Json:
        """Place an order without a code, as `POST /v1/orders` does."""
        with self.lock:
            self.catch_up()
            buyer = self.redemption_flow.customer(customer)
            return self.plain(self.redemption_flow.place_order(order, buyer))

    def referral_code(self, campaign: str, referrer: str | Mapping[str, Any]) -> str:
        """Publish a new code of a referral campaign (id or name) to a customer."""
        with self.lock:
            self.catch_up()
            found = self.programs.campaign(campaign)
            customer = self.redemption_flow.customer(referrer)
            voucher = self.programs.add_referral_code(found, customer)
            self.redemption_flow.publish(voucher, customer)
            return str(voucher["code"])

    def redeem(
        self,
        code: str,
        customer: str | Mapping[str, Any],
        order: Json,
        points: int | None = None,
    ) -> Json:
        """Redeem a code; returns the redemption. Rewards follow after `settle_seconds`.

        Args:
            code: a voucher code.
            customer: id, source_id or fields of the referee, who is created if unknown.
            order: `amount` in cents and, optionally, `source_id`.
            points: what a loyalty card pays, a cent each; a gift voucher pays what it can.
        """
        with self.lock:
            self.catch_up()
            return self.plain(self.redemption_flow.redeem(code, customer, order, points))

    def roll_back(self, redemption: str | Json) -> Json:
        """Roll back a redemption, given by id or as `redeem` returned it."""
        with self.lock:
            self.catch_up()
            identity = redemption if isinstance(redemption, str) else str(redemption["id"])
            return self.plain(self.redemption_flow.roll_back(identity))

    def track_event(
        self,
        event: str,
        customer: str | Mapping[str, Any],
        referral: Json | None = None,
        metadata: Json | None = None,
    ) -> Json:
        """Track a custom event; with `{"code": …}` as referral it may convert one."""
        with self.lock:
            self.catch_up()
            found = self.redemption_flow.customer(customer)
            return self.plain(self.redemption_flow.track(event, found, referral, metadata or {}))

    def define_metadata(
        self, resource: str, properties: Json, *, allow_defined_only: bool = False
    ) -> Json:
        """Set the metadata schema of a resource such as `customer`."""
        with self.lock:
            identity = self.ids.new("ms")
            made = metadata.schema(identity, resource, properties, self.clock.now())
            made["allow_defined_only"] = allow_defined_only
            self.schemas[resource] = made
            if resource == "customer":
                self.people.rules = made
            return self.plain(made)

    def create_segment(self, name: str, members: Sequence[str]) -> Json:
        """A static segment of customers, named by id or source_id."""
        with self.lock:
            ids = frozenset(self.people.get(key).id for key in members)
            return self.plain(self.segments.add(name, ids))

    def add_webhook(self, url: str, secret: str, **more: Any) -> str:
        """Add a webhook with the fields of `Webhook`; returns its id."""
        with self.lock:
            return self.webhooks.add(Webhook(url=url, secret=secret, **more))

    # Time

    def settle(self) -> int:
        """Apply all pending effects now; returns their number."""
        with self.lock:
            return self.delayed.catch_up(everything=True)

    def finish_jobs(self) -> None:
        """Finish all queued jobs now, except those that a fault makes hang."""
        with self.lock:
            self.jobs.finish()

    def catch_up(self) -> None:
        """Apply the effects and jobs that are due by the project's clock."""
        with self.lock:
            self.delayed.catch_up()
            self.jobs.catch_up()

    def begin(self, request_id: str) -> None:
        """Catch up before a request is served; the events that it causes carry its id."""
        self.request_id = request_id
        self.catch_up()

    def end(self) -> None:
        """Stop attributing events to the request."""
        self.request_id = ""

    def _exported(self, name: str) -> list[Json]:
        """The rows of one exported object; for `metadata` the metadata schemas."""
        rows: dict[str, Callable[[], Iterable[Json]]] = {
            "customer": lambda: (one.resource() for one in self.people.by_id.values()),
            "redemption": self.records.redemptions.values,
            "publication": self.programs.publications.values,
            "order": self.records.orders.values,
            "voucher": self.programs.vouchers.values,
            "voucher_transactions": self.programs.transactions.values,
            "points_expiration": list,
            "metadata": self.schemas.values,
        }
        return [row for row in rows[name]() if row["id"] not in self.hidden]

    # Totals for tests

    def books(self) -> Json:
        """The rewards given: campaign → `referee` or `referrer` → kind → `count` and `sum`."""
        with self.lock:
            self.catch_up()
            return deepcopy(self.reward_payout.totals)

    def counts(self) -> Json:
        """The number of objects of each kind."""
        with self.lock:
            self.catch_up()
            everyone = (*self.people.by_id.values(), *self.people.deleted.values())
            return {
                "customers": len(self.people.by_id),
                "deleted_customers": len(self.people.deleted),
                "redemptions": len(self.records.redemptions),
                "orders": len(self.records.orders),
                "vouchers": len(self.programs.vouchers),
                "publications": len(self.programs.publications),
                "transactions": len(self.programs.transactions),
                "events": sum(len(one.activity) for one in everyone),
                "async_actions": len(self.jobs.all),
                "exports": len(self.exports.all),
                "pending": len(self.delayed.pending),
            }
