"""Every stream of the tap; those without a module of their own are declared here."""

from __future__ import annotations

import abc
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_voucherify.pagination import endpoints
from tap_voucherify.pagination.page_number import is_newest_first, pages_while_rows_go
from tap_voucherify.pagination.replication_value import changed_rows
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Page, Row, rows_by_time
from tap_voucherify.pagination.total_check import FilteredCount, FullRead, created_at
from tap_voucherify.rewards.id_queue import QueuedId
from tap_voucherify.streams.child import ChildStream, ParentSource, TimedId
from tap_voucherify.streams.customer_deletions import CustomerDeletions
from tap_voucherify.streams.customers import Customers
from tap_voucherify.streams.paged import FullTableStream, NewestFirstStream
from tap_voucherify.streams.reward_events import RewardEvents
from tap_voucherify.streams.time_range import TimeRangeStream
from tap_voucherify.voucherify_client.errors import NotFoundError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from tap_voucherify.streams.stream import VoucherifyStream

REWARDS = "/v1/rewards"
PRODUCTS = "/v1/products"
LOYALTY = "LOYALTY_PROGRAM"
TYPES_WITH_TRANSACTIONS = frozenset(("GIFT_VOUCHERS", LOYALTY))


class Redemptions(TimeRangeStream):
    """Redemptions and rollbacks; a rollback is a row of its own and changes no older row."""

    name = "redemptions"
    replication_key = "date"
    path = endpoints.REDEMPTIONS
    by_creation = endpoints.REDEMPTIONS_BY_CREATION


class Vouchers(TimeRangeStream):
    """Codes with their balance: referral codes, gift cards, loyalty cards, coupons."""

    name = "vouchers"
    replication_key = "modified_at"
    path = endpoints.VOUCHERS
    by_creation = endpoints.VOUCHERS_BY_CREATION
    by_update = endpoints.VOUCHERS_BY_UPDATE


class Campaigns(TimeRangeStream):
    """Campaigns of every type."""

    name = "campaigns"
    replication_key = "modified_at"
    path = endpoints.CAMPAIGNS
    by_creation = endpoints.CAMPAIGNS_BY_CREATION
    by_update = endpoints.CAMPAIGNS_BY_UPDATE
    filters = endpoints.CAMPAIGN_FILTERS


class Publications(NewestFirstStream):
    """Codes given to customers."""

    name = "publications"
    replication_key = "created_at"
    path = "/v1/publications"


class Orders(NewestFirstStream):
    """Orders with their discounts."""

    name = "orders"
    replication_key = "modified_at"
    path = "/v1/orders"
    times = ("updated_at", "created_at")


class Products(NewestFirstStream):
    """What orders consist of, without SKUs."""

    name = "products"
    replication_key = "modified_at"
    path = PRODUCTS
    times = ("updated_at", "created_at")


class Skus(FullTableStream):
    """Variants of products.

    They come inside the list of products. It is not published that a change of one changes its
    product, so all products are read.
    """

    name = "skus"
    path = "/v1/products/{id}/skus"

    _products = 0
    _has_more = False

    @override
    def _least_calls(self, spent: int) -> int:
        """A call for each product, if some have more SKUs than come inside."""
        lists = self._products if self._has_more else 0
        return max(super()._least_calls(spent), lists + -(-self._products // PAGE_ROWS) + 2)

    @override
    def listed(self) -> Iterator[Row]:
        for product in self.all_records(PRODUCTS, time="created_at", is_parents=True):
            self._products = self.stats.total or self._products + 1
            inside = self._inside(product)
            if inside is not None:
                yield from inside
                continue
            self._has_more = True
            yield from self._of(str(product["id"]))

    def _inside(self, product: Row) -> list[Row] | None:
        """The SKUs inside a product, which has no member `skus` if there are none.

        `None` if there are more, or if it is not known.
        """
        skus = product.get("skus", {"data": [], "total": 0})
        if not isinstance(skus, dict):
            return None
        rows, total = skus.get(skus.get("data_ref") or "data"), skus.get("total")
        if not isinstance(rows, list) or not isinstance(total, int) or total > len(rows):
            return None
        read = FullRead()
        read.begin(self.client.run_started, None)
        for row in rows:
            read.add(created_at(row))
        read.total = read.rows
        self.add_read(read, lambda _: None)
        return rows

    def _of(self, product_id: str) -> Iterator[Row]:
        try:
            yield from self.all_records(self.path, product_id, time="created_at")
        except NotFoundError:
            self.logger.info("Skipping the SKUs of a product that was deleted meanwhile.")


class PromotionTiers(NewestFirstStream):
    """The discounts of promotion campaigns, which need no code."""

    name = "promotion_tiers"
    replication_key = "modified_at"
    path = "/v1/promotions/tiers"
    times = ("updated_at", "created_at")


class PromotionStacks(NewestFirstStream):
    """Promotion tiers that are applied together, and in which order."""

    name = "promotion_stacks"
    replication_key = "modified_at"
    path = "/v1/promotions/stacks"
    times = ("updated_at", "created_at")


class ValidationRules(NewestFirstStream):
    """When an offer holds."""

    name = "validation_rules"
    replication_key = "modified_at"
    path = "/v1/validation-rules"
    times = ("updated_at", "created_at")


class ValidationRuleAssignments(NewestFirstStream):
    """What a validation rule is assigned to; an assignment never changes."""

    name = "validation_rule_assignments"
    replication_key = "created_at"
    path = "/v1/validation-rules-assignments"


class LoyaltyStream(FullTableStream):
    """Rows of loyalty campaigns: a call or more for each campaign, in each run."""

    _campaigns: int | None = None
    _gone = 0

    @abc.abstractmethod
    def of(self, campaign_id: str) -> Iterator[Row]:
        """The rows of one campaign.

        Raises:
            NotFoundError: it is gone.
        """

    @override
    def _least_calls(self, spent: int) -> int:
        """A call for each campaign: a run that was cut starts over."""
        campaigns = self._campaigns or self.stats.total or 0
        return max(super()._least_calls(spent), campaigns + -(-campaigns // PAGE_ROWS) + 2)

    @override
    def listed(self) -> Iterator[Row]:
        fetch = endpoints.pages_of(
            self.client.get,
            endpoints.CAMPAIGNS,
            filters=endpoints.CAMPAIGN_FILTERS,
            params={"campaign_type": LOYALTY},
        )
        campaigns = rows_by_time(fetch, endpoints.CAMPAIGNS_BY_CREATION, stats=self.stats)
        ids = [str(row["id"]) for _, row in campaigns if _may_be(row, (LOYALTY,))]
        self._campaigns = len(ids)
        for campaign_id in ids:
            try:
                yield from self.of(campaign_id)
            except NotFoundError:
                self.logger.info("Skipping a loyalty campaign that was deleted meanwhile.")


class LoyaltyTiers(LoyaltyStream):
    """The tiers of loyalty campaigns."""

    name = "loyalty_tiers"
    path = "/v1/loyalties/{id}/tiers"
    sizes = ("limit",)

    @override
    def of(self, campaign_id: str) -> Iterator[Row]:
        return self.all_records(self.path, campaign_id, time="created_at")


class PendingPoints(LoyaltyStream):
    """Points of loyalty cards that are not active yet; a row goes once they are."""

    name = "pending_points"
    path = "/v1/loyalties/{id}/pending-points"

    @override
    def of(self, campaign_id: str) -> Iterator[Row]:
        read, get = FullRead(), partial(self._get, campaign_id)
        for page in pages_while_rows_go(get):
            read.begin(self.client.run_started, None)
            for row in page:
                read.add(created_at(row))
                yield row
        self.add_read(read, lambda _: None)

    def _get(self, campaign_id: str, cursor: str | None) -> dict[str, Any]:
        params = {"limit": PAGE_ROWS, "order": "id"}
        if cursor is not None:
            params["starting_after_id"] = cursor
        self.stats.calls += 1
        return self.client.get(self.path, {"id": campaign_id}, params, self.records.page)


class Rewards(FullTableStream):
    """Rewards that referrers and loyal customers can get."""

    name = "rewards"
    path = REWARDS


class RewardAssignments(FullTableStream):
    """The campaigns that give a reward."""

    name = "reward_assignments"
    path = "/v1/rewards/{id}/assignments"

    _rewards: int | None = None

    @override
    def _least_calls(self, spent: int) -> int:
        """A call for each reward: a run that was cut starts over."""
        rewards = self._rewards or self.stats.total or 0
        return max(super()._least_calls(spent), rewards + -(-rewards // PAGE_ROWS) + 2)

    @override
    def listed(self) -> Iterator[Row]:
        rewards = [str(row["id"]) for row in self.all_records(REWARDS, is_parents=True)]
        self._rewards = len(rewards)
        for reward_id in rewards:
            try:
                yield from self.all_records(self.path, reward_id)
            except NotFoundError:
                self.logger.info("Skipping the assignments of a reward that was deleted meanwhile.")


class MetadataSchemas(FullTableStream):
    """The project's metadata definitions, by resource."""

    name = "metadata_schemas"
    path = "/v1/metadata-schemas"
    sizes = ()


class Segments(FullTableStream):
    """Segments of customers, without their members."""

    name = "segments"
    path = endpoints.SEGMENTS

    @override
    def listed(self) -> Iterator[Row]:
        """Every segment, by the time of creation: the list takes no page number."""
        fetch = endpoints.pages_of(self.client.get, self.path, filters=endpoints.SEGMENT_FILTERS)
        by_creation, read = endpoints.SEGMENTS_BY_CREATION, FullRead()
        self.stats.is_counted = True
        for instant, row in rows_by_time(fetch, by_creation, stats=self.stats):
            read.begin(self.client.run_started, self.stats.total)
            read.add(instant)
            yield row
        read.begin(self.client.run_started, self.stats.total)
        self.add_read(read, FilteredCount(fetch, by_creation).before)


class CampaignTransactions(ChildStream):
    """Credit and points given and spent, by gift and loyalty campaign."""

    name = "campaign_transactions"
    replication_key = "created_at"
    path = "/v1/campaigns/{id}/transactions"
    order = "-id"

    @override
    def sources(self, since: datetime | None) -> list[ParentSource]:
        return [ParentSource("campaigns", self._campaigns)]

    def _campaigns(self, begin: datetime | None) -> Iterator[TimedId]:
        fetch = endpoints.pages_of(
            self.client.get, endpoints.CAMPAIGNS, filters=endpoints.CAMPAIGN_FILTERS
        )
        for instant, row in rows_by_time(
            fetch, endpoints.CAMPAIGNS_BY_CREATION, since=begin, stats=self.stats
        ):
            is_wanted = _may_be(row, TYPES_WITH_TRANSACTIONS)
            yield instant, QueuedId(str(row["id"])) if is_wanted else None

    @override
    def older_than(self, page: Page, since: datetime) -> bool:
        times = [self.created_at(row) for row in page.rows]
        return is_newest_first(times) and times[-1] < since


class ReferralHolders(ChildStream):
    """Who holds a referral code, and in which role."""

    name = "referral_holders"
    replication_key = "created_at"
    path = "/v1/referrals/members/{id}/holders"

    @override
    def _least_calls(self, spent: int) -> int:
        """A call for each campaign: one without codes leaves no position."""
        campaigns = self.stats.total or 0
        pages = -(-campaigns // PAGE_ROWS)
        return max(super()._least_calls(spent), campaigns + pages + self.least_calls)

    @override
    def since_params(self, since: datetime) -> dict[str, str]:
        return endpoints.condition("created_at", "after", since - MILLISECOND)

    @override
    def sources(self, since: datetime | None) -> list[ParentSource]:
        """Referral codes made or changed since, redeemed since, or converting by a custom event.

        A conversion by a custom event leaves no trace in a list, so the codes of such campaigns are
        read each time; other codes get a new holder only by being published or redeemed.
        """
        campaigns: dict[str, Row] = {}
        fetch = endpoints.pages_of(
            self.client.get,
            endpoints.CAMPAIGNS,
            filters=endpoints.CAMPAIGN_FILTERS,
            params={"campaign_type": "REFERRAL_PROGRAM"},
        )
        for _, row in rows_by_time(fetch, endpoints.CAMPAIGNS_BY_CREATION, stats=self.stats):
            campaigns[str(row["id"])] = row
        codes = [
            ParentSource(
                campaign_id,
                partial(self._codes, campaign_id, None if _converts_by_event(row) else since),
            )
            for campaign_id, row in campaigns.items()
        ]
        if since is None:
            return codes
        redeemed = partial(self._redeemed, frozenset(campaigns), since)
        return [*codes, ParentSource("redemptions", redeemed)]

    def _codes(
        self, campaign_id: str, since: datetime | None, begin: datetime | None
    ) -> Iterator[TimedId]:
        by_creation, by_update = endpoints.VOUCHERS_BY_CREATION, endpoints.VOUCHERS_BY_UPDATE
        params = {"campaign_id": campaign_id}
        fetch = endpoints.pages_of(self.client.get, endpoints.VOUCHERS, params=params)
        codes = (
            rows_by_time(fetch, by_creation, since=begin, stats=self.stats)
            if since is None
            else changed_rows(fetch, by_creation, by_update, begin or since, self.stats)
        )
        yield from ((instant, QueuedId(str(row["id"]))) for instant, row in codes)

    def _redeemed(
        self, campaigns: frozenset[str], since: datetime, begin: datetime | None
    ) -> Iterator[TimedId]:
        fetch = endpoints.pages_of(self.client.get, endpoints.REDEMPTIONS)
        by_creation = endpoints.REDEMPTIONS_BY_CREATION
        for instant, row in rows_by_time(
            fetch, by_creation, since=begin or since, stats=self.stats
        ):
            voucher = row.get("voucher")
            if isinstance(voucher, dict) and voucher.get("campaign_id") in campaigns:
                yield instant, QueuedId(str(voucher["id"]))
            else:
                yield instant, None


def _may_be(campaign: Row, types: Collection[str]) -> bool:
    """Whether a campaign is of one of some types; one that does not say may be."""
    kind = campaign.get("campaign_type")
    return kind is None or kind in types


def _converts_by_event(campaign: Row) -> bool:
    program = campaign.get("referral_program")
    return not isinstance(program, dict) or program.get("conversion_event_type") != "redemption"


STREAMS: tuple[type[VoucherifyStream], ...] = (
    Customers,
    CustomerDeletions,
    RewardEvents,
    Redemptions,
    Publications,
    Campaigns,
    CampaignTransactions,
    Vouchers,
    Rewards,
    RewardAssignments,
    Orders,
    Products,
    Skus,
    PromotionTiers,
    PromotionStacks,
    ValidationRules,
    ValidationRuleAssignments,
    LoyaltyTiers,
    PendingPoints,
    Segments,
    ReferralHolders,
    MetadataSchemas,
)
