"""Initial contents of a project: a shop after its first eight weeks.

Everything happens through the project's own methods, in the order of time, so it has the events,
transactions and counters that it would have over the API. It is the same each time, counted from
the last midnight.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project

DAYS = 56
FIRST_CUSTOMERS = 240
REGULARS = 10
REFERRERS = {"Refer a friend": slice(0, 5), "Bring a buddy": slice(5, 7)}
"""Which of the regulars share codes of which campaign."""

GIFTS, POINTS, WELCOME, SALE = "Gift cards", "Club points", "Welcome 10 %", "Autumn sale"
WELCOME_PERCENT = 10
TIERS = {"Bronze": (0, 999), "Silver": (1_000, 4_999), "Gold": (5_000, 1_000_000)}
"""Of the loyalty program, from and to how many points."""

PROMISED_POINTS = 50
GIFT_VALUES = (2_500, 5_000, 10_000)
PRICES = {"Shirt": 2_900, "Hoodie": 5_900, "Mug": 1_400, "Tote bag": 1_900, "Poster": 990}
"""In cents."""
SIZES = {"Shirt": ("S", "M", "L"), "Hoodie": ("S", "M", "L")}
MORNING, EVENING = 9 * 60, 21 * 60
"""Minutes of the day."""
NEWSLETTER_SHARE = 0.4
LEAST_POINTS, POINTS_SHARE = 100, 0.5
"""From how many points on a card pays, and how often."""

FIRST_NAMES = ("Amara", "Bruno", "Chiara", "Dariusz", "Élodie", "Fatima", "Gustav", "Haruki")
LAST_NAMES = ("Andersson", "Bianchi", "Castillo", "Dubois", "Eriksen", "Fischer", "Wójcik")
CITIES = (("Berlin", "DE"), ("Lyon", "FR"), ("Kraków", "PL"), ("Bologna", "IT"))

METADATA: Mapping[str, Json] = {
    "customer": {
        "tier": {"type": "string"},
        "lifetime_value": {"type": "number"},
        "newsletter": {"type": "boolean"},
        "customer_since": {"type": "date"},
        "tags": {"type": "string", "array": True},
    },
    "order": {"channel": {"type": "string"}},
}


def plant(name: str, project: Project) -> None:
    """Fill an empty project.

    Raises:
        ValueError: no seed has this name.
    """
    if name != "demo":
        raise ValueError(f"no seed is called {name!r}; there is: demo")
    midnight = project.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    shop = _Shop(project, midnight - timedelta(days=DAYS), Random(name))
    shop.open()
    for day in range(DAYS):
        shop.trade(day)
    shop.close()
    project.clock.set(None)


@dataclass
class _Buyer:
    """A customer who orders, and the codes of this customer."""

    source_id: str
    card: str
    coupons: list[str] = field(default_factory=list)
    gifts: list[str] = field(default_factory=list)


@dataclass
class _Shop:
    """Its customers, and what they do from day to day."""

    project: Project
    opening: datetime
    random: Random
    customers: int = 0
    orders: int = 1_000
    buyers: list[_Buyer] = field(default_factory=list)
    codes: dict[tuple[str, str], str] = field(default_factory=dict)
    coupons: dict[str, str] = field(default_factory=dict)
    newsletter: list[str] = field(default_factory=list)
    redeemed: dict[str, Json] = field(default_factory=dict)
    """The last redemption by kind of code."""

    def open(self) -> None:
        """Set up campaigns and products, and take over the first customers from the CRM."""
        project = self.project
        self._at(0, 0)
        for resource, properties in METADATA.items():
            project.define_metadata(resource, dict(properties))
        project.create_referral_campaign(
            "Refer a friend",
            referee_reward={"gift_credit": 500},
            referrer_reward={"gift_credit": 1_000},
        )
        project.create_referral_campaign(
            "Bring a buddy",
            referee_reward={"loyalty_points": 50},
            referrer_reward={"loyalty_points": 200},
        )
        project.create_campaign(GIFTS, "GIFT_VOUCHERS")
        project.create_campaign(POINTS, "LOYALTY_PROGRAM", cents_per_point=100)
        for name, points in TIERS.items():
            project.add_loyalty_tier(POINTS, name, points)
        project.create_campaign(WELCOME, "DISCOUNT_COUPONS")
        for name, price in PRICES.items():
            product = {"source_id": name, "name": name, "price": price, "attributes": ["size"]}
            sizes = SIZES.get(name, ("one size",))
            skus = [{"sku": f"{name}, {size}", "attributes": {"size": size}} for size in sizes]
            project.create_product(product, skus)
        self._at(0, 60)
        for _ in range(FIRST_CUSTOMERS):
            project.clock.advance(1)
            self._join()
        self._at(0, 120)
        for number in self.random.sample(range(1, FIRST_CUSTOMERS + 1), REGULARS):
            self._enroll(_source_id(number))

    def trade(self, day: int) -> None:
        """Let a day pass: somebody joins, some order, and in the evening what the calendar says."""
        minutes = self.random.sample(range(MORNING, EVENING), self.random.randint(3, 6))
        joins, *orders = sorted(minutes)
        self._at(day, joins)
        self._join()
        for minute in orders:
            self._at(day, minute)
            self._sell(self._anybody())
        for number, (days, happens) in enumerate(self._calendar()):
            if day in days:
                self._at(day, EVENING + 10 * number)
                happens()

    def _calendar(self) -> list[tuple[Sequence[int], Callable[[], None]]]:
        """What happens on which days."""
        return [
            (range(1, DAYS, 9), lambda: self._refer("Bring a buddy")),
            (range(4, DAYS, 9), lambda: self._refer("Refer a friend")),
            (range(7, DAYS, 18), lambda: self._refer("Refer a friend")),
            (range(3, DAYS, 9), self._give),
            (range(6, DAYS, 7), self._upgrade),
            ([20], self._redeem_own_code),
            ([25], lambda: self._return("referral")),
            ([28], self._announce_sale),
            ([49], lambda: self._return("gift")),
            (range(DAYS - 3, DAYS), self._promise_points),
        ]

    def close(self) -> None:
        """End the last day: nothing is pending, and segments are made."""
        self._at(DAYS, -60)
        self.project.settle()
        regulars = [buyer.source_id for buyer in self.buyers[:REGULARS]]
        self.project.create_segment("Regulars", regulars)
        self.project.create_segment("Newsletter", self.newsletter)

    def _at(self, day: int, minute: float) -> None:
        """Set the clock to a minute after the opening."""
        self.project.clock.set(self.opening + timedelta(days=day, minutes=minute))

    def _fields(self) -> Json:
        """The next contact of the CRM."""
        self.customers += 1
        number, choose = self.customers, self.random.choice
        city, country = choose(CITIES)
        return {
            "source_id": _source_id(number),
            "name": f"{choose(FIRST_NAMES)} {choose(LAST_NAMES)}",
            "email": f"customer.{number}@example.com",
            "phone": f"+1 555 {number:07}",
            "birthdate": f"19{self.random.randint(55, 99)}-0{self.random.randint(1, 9)}-12",
            "address": {"city": city, "country": country},
            "metadata": {
                "tier": choose(("bronze", "silver")),
                "lifetime_value": self.random.randrange(100_000) / 100,
                "newsletter": self.random.random() < NEWSLETTER_SHARE,
                "customer_since": f"20{self.random.randint(15, 25)}-03-01",
                "tags": self.random.sample(["b2b", "vip", "student"], self.random.randrange(3)),
            },
        }

    def _join(self) -> None:
        """Let a customer sign up; those who take the newsletter get a coupon."""
        made = self.project.upsert_customer(self._fields())
        if made["metadata"]["newsletter"]:
            source_id = made["source_id"]
            self.newsletter.append(source_id)
            self.coupons[source_id] = self.project.publish(WELCOME, source_id, WELCOME_PERCENT)

    def _enroll(self, source_id: str) -> None:
        """Give a customer a loyalty card, who orders from now on."""
        coupons = [self.coupons[source_id]] if source_id in self.coupons else []
        self.buyers.append(_Buyer(source_id, self.project.publish(POINTS, source_id), coupons))

    def _order(self) -> Json:
        self.orders += 1
        bought = self.random.choices(list(PRICES.values()), k=self.random.randint(1, 4))
        channel = self.random.choice(("web", "app", "store"))
        return {
            "source_id": f"order-{self.orders}",
            "amount": sum(bought),
            "metadata": {"channel": channel},
        }

    def _sell(self, buyer: _Buyer) -> None:
        """Let a buyer order and pay with what there is: a coupon, a gift card, points, or none."""
        order, who = self._order(), buyer.source_id
        gift = next((code for code in buyer.gifts if self._balance(code)), None)
        points = min(self._balance(buyer.card), order["amount"])
        if buyer.coupons:
            self._redeem("coupon", buyer.coupons.pop(), who, order)
        elif gift is not None:
            self._redeem("gift", gift, who, order)
        elif self.random.random() < POINTS_SHARE and points >= LEAST_POINTS:
            self._redeem("points", buyer.card, who, order, points=points)
        else:
            self.project.place_order(who, order)

    def _refer(self, campaign: str) -> None:
        """Let a new customer order with a friend's code."""
        referrer = self.random.choice(self.buyers[REFERRERS[campaign]]).source_id
        if (campaign, referrer) not in self.codes:
            self.codes[campaign, referrer] = self.project.referral_code(campaign, referrer)
        friend = self._fields()
        self._redeem("referral", self.codes[campaign, referrer], friend, self._order())
        self.project.clock.advance(60)
        self._enroll(friend["source_id"])

    def _give(self) -> None:
        """Let a buyer get a gift card."""
        buyer = self._anybody()
        value = self.random.choice(GIFT_VALUES)
        buyer.gifts.append(self.project.publish(GIFTS, buyer.source_id, value))

    def _upgrade(self) -> None:
        """Let a buyer become a gold customer."""
        buyer = self._anybody()
        self.project.update_customer(buyer.source_id, {"metadata": {"tier": "gold"}})

    def _redeem_own_code(self) -> None:
        """Let a referrer try the own code, which is a failed redemption."""
        (_, referrer), code = next(iter(self.codes.items()))
        with suppress(ApiError):
            self.project.redeem(code, referrer, self._order())

    def _return(self, kind: str) -> None:
        """Roll the last redemption of a kind back."""
        self.project.roll_back(self.redeemed[kind])

    def _promise_points(self) -> None:
        """Let a buyer order, for points that come in a month."""
        self.project.add_pending_points(POINTS, self._anybody().source_id, PROMISED_POINTS)

    def _announce_sale(self) -> None:
        """Set up a promotion."""
        self.project.create_promotion(SALE, [5, 10, 15], least_amount=5_000)

    def _anybody(self) -> _Buyer:
        return self.random.choice(self.buyers)

    def _redeem(self, kind: str, code: str, who: str | Json, order: Json, **more: Any) -> None:
        self.redeemed[kind] = self.project.redeem(code, who, order, **more)

    def _balance(self, code: str) -> int:
        voucher = self.project.programs.voucher(code)
        return int((voucher["gift"] or voucher["loyalty_card"])["balance"])


def _source_id(number: int) -> str:
    """The key of a contact in the CRM of `make services`."""
    return f"CRM-{number:06}"
