"""Every stream of the tap; those not in a file of their own are a few facts each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_voucherify.pagination import endpoints
from tap_voucherify.pagination.page_number import is_newest_first
from tap_voucherify.pagination.replication_value import changed_rows
from tap_voucherify.pagination.time_cursor import Page, Row, walk
from tap_voucherify.pagination.total_check import FilteredCount, WholeRead
from tap_voucherify.streams.child import ChildStream
from tap_voucherify.streams.customer_deletions import CustomerDeletions
from tap_voucherify.streams.customers import Customers
from tap_voucherify.streams.paged import FullTableStream, NewestFirstStream
from tap_voucherify.streams.reward_events import RewardEvents
from tap_voucherify.streams.time_range import TimeFilteredStream
from tap_voucherify.voucherify_client.errors import NotFoundError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.streams.stream import VoucherifyStream

REWARDS = "/v1/rewards"
HAVE_TRANSACTIONS = frozenset(("GIFT_VOUCHERS", "LOYALTY_PROGRAM"))


class Redemptions(TimeFilteredStream):
    """Redemptions and rollbacks; a rollback is a row of its own and changes no older row here."""

    name = "redemptions"
    replication_key = "date"
    path = endpoints.REDEMPTIONS
    by_creation = endpoints.REDEMPTIONS_BY_CREATION


class Vouchers(TimeFilteredStream):
    """Every code with its balance: referral codes, gift cards, loyalty cards, coupons."""

    name = "vouchers"
    replication_key = "modified_at"
    path = endpoints.VOUCHERS
    by_creation = endpoints.VOUCHERS_BY_CREATION
    by_update = endpoints.VOUCHERS_BY_UPDATE


class Campaigns(TimeFilteredStream):
    """Campaigns of every type."""

    name = "campaigns"
    replication_key = "modified_at"
    path = endpoints.CAMPAIGNS
    by_creation = endpoints.CAMPAIGNS_BY_CREATION
    by_update = endpoints.CAMPAIGNS_BY_UPDATE
    filters = endpoints.CAMPAIGN_FILTERS


class Publications(NewestFirstStream):
    """Which codes were given to which customer."""

    name = "publications"
    replication_key = "created_at"
    path = "/v1/publications"


class Orders(NewestFirstStream):
    """Orders with what was taken off them."""

    name = "orders"
    replication_key = "modified_at"
    path = "/v1/orders"
    times = ("updated_at", "created_at")


class Rewards(FullTableStream):
    """What referrers and loyal customers can be given."""

    name = "rewards"
    path = REWARDS


class RewardAssignments(FullTableStream):
    """Which campaign gives which reward."""

    name = "reward_assignments"
    path = "/v1/rewards/{id}/assignments"

    @override
    def listed(self) -> Iterator[Row]:
        rewards = [str(row["id"]) for row in self.whole(REWARDS)]
        for reward in rewards:
            try:
                yield from self.whole(self.path, reward)
            except NotFoundError:
                self.logger.info("A reward was deleted meanwhile; its assignments went with it.")


class MetadataSchemas(FullTableStream):
    """Which metadata the project has defined, by resource."""

    name = "metadata_schemas"
    path = "/v1/metadata-schemas"
    is_paged = False


class Segments(FullTableStream):
    """Segments of customers; who is in them is not part of it."""

    name = "segments"
    path = endpoints.SEGMENTS

    @override
    def whole(self, path: str, identity: str = "") -> Iterator[Row]:
        """Every segment, by the time of creation: the list takes no page number."""
        fetch = endpoints.pages_of(self.client.get, path, filters=endpoints.SEGMENT_FILTERS)
        by_creation, read = endpoints.SEGMENTS_BY_CREATION, WholeRead()
        for instant, row in walk(fetch, by_creation, tally=self.tally):
            read.begin(self.client.run_started, self.tally.total)
            read.add(instant)
            yield row
        read.begin(self.client.run_started, self.tally.total)
        self.note(read, FilteredCount(fetch, by_creation).before)


class CampaignTransactions(ChildStream):
    """Credit and points given and spent, by gift and loyalty campaign."""

    name = "campaign_transactions"
    replication_key = "created_at"
    path = "/v1/campaigns/{id}/transactions"
    order = "-id"

    @override
    def parents(self, since: datetime | None) -> Iterator[str]:
        fetch = endpoints.pages_of(
            self.client.get, endpoints.CAMPAIGNS, filters=endpoints.CAMPAIGN_FILTERS
        )
        for _, row in walk(fetch, endpoints.CAMPAIGNS_BY_CREATION, tally=self.tally):
            if row.get("campaign_type") in HAVE_TRANSACTIONS:
                yield str(row["id"])

    @override
    def is_past(self, page: Page, since: datetime) -> bool:
        times = [self.created_at(row) for row in page.rows]
        return is_newest_first(times) and times[-1] < since


class ReferralHolders(ChildStream):
    """Who holds a referral code, and in which role."""

    name = "referral_holders"
    replication_key = "created_at"
    path = "/v1/referrals/members/{id}/holders"

    @override
    def narrowed(self, since: datetime) -> dict[str, str]:
        return endpoints.condition("created_at", "after", since - MILLISECOND)

    @override
    def parents(self, since: datetime | None) -> Iterator[str]:
        """Referral codes made or changed since, redeemed since, or converting by a custom event.

        A conversion by a custom event leaves no trace in a list, so codes of such campaigns are
        asked each time; other codes get a new holder only by being published or redeemed.
        """
        campaigns: dict[str, Row] = {}
        fetch = endpoints.pages_of(
            self.client.get,
            endpoints.CAMPAIGNS,
            filters=endpoints.CAMPAIGN_FILTERS,
            params={"campaign_type": "REFERRAL_PROGRAM"},
        )
        for _, row in walk(fetch, endpoints.CAMPAIGNS_BY_CREATION, tally=self.tally):
            campaigns[str(row["id"])] = row
        for identity, row in campaigns.items():
            yield from self._codes(identity, None if _converts_by_event(row) else since)
        if since is not None:
            yield from self._redeemed(frozenset(campaigns), since)

    def _codes(self, campaign: str, since: datetime | None) -> Iterator[str]:
        by_creation, by_update = endpoints.VOUCHERS_BY_CREATION, endpoints.VOUCHERS_BY_UPDATE
        params = {"campaign_id": campaign}
        fetch = endpoints.pages_of(self.client.get, endpoints.VOUCHERS, params=params)
        found = (
            walk(fetch, by_creation, tally=self.tally)
            if since is None
            else changed_rows(fetch, by_creation, by_update, since, self.tally)
        )
        yield from (str(row["id"]) for _, row in found)

    def _redeemed(self, campaigns: frozenset[str], since: datetime) -> Iterator[str]:
        fetch = endpoints.pages_of(self.client.get, endpoints.REDEMPTIONS)
        redeemed = walk(fetch, endpoints.REDEMPTIONS_BY_CREATION, since=since, tally=self.tally)
        for _, row in redeemed:
            voucher = row.get("voucher")
            if isinstance(voucher, dict) and voucher.get("campaign_id") in campaigns:
                yield str(voucher["id"])


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
    Segments,
    ReferralHolders,
    MetadataSchemas,
)
