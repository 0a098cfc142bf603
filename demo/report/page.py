"""The HTML page: figures, charts and runs in one self-contained file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from demo.report import charts

if TYPE_CHECKING:
    from collections import Counter

    from demo.report.figures import Figures
    from demo.report.runs import Run

LAST_RUNS = 12


def page(figures: Figures, runs: list[Run], refused: Counter[str], torn: Counter[str]) -> str:
    """The page as HTML.

    Args:
        figures: of the warehouse.
        runs: newest first.
        refused: refused records by kind.
        torn: lines that could not be read by file.
    """
    template = Environment(
        loader=PackageLoader("demo.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html.jinja")
    return template.render(
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tiles=tiles(figures),
        rewards=charts.rewards_by_day(figures.by_day) if figures.by_day else None,
        places=charts.counts(places(figures, refused), "Where customers are"),
        top=figures.top,
        delivery=figures.delivery,
        refused=refused.most_common(),
        torn=torn.most_common(),
        runs=runs[:LAST_RUNS],
        money=money,
    )


def tiles(figures: Figures) -> list[tuple[str, str]]:
    """The label and the value of each large figure at the top."""
    conversions, rewards, credit, points, brought = figures.totals
    return [
        ("customers in Voucherify", f"{figures.customers:,}"),
        ("friends who converted", f"{conversions:,}"),
        ("rewards given", f"{rewards:,}"),
        ("credit given", money(credit)),
        ("points given", f"{points:,}"),
        ("orders brought", money(brought)),
    ]


def places(figures: Figures, refused: Counter[str]) -> list[tuple[str, int]]:
    """Numbers of customers in the CRM and in Voucherify."""
    return [
        ("from the CRM, in Voucherify", figures.with_source_id),
        ("in Voucherify only", figures.customers - figures.with_source_id),
        ("took part in a referral", figures.taken_part),
        ("refused records", refused.total()),
    ]


def money(smallest_units: int) -> str:
    """An amount in the currency's main unit; Voucherify has two decimals in every project."""
    return f"{smallest_units / 100:,.2f}"
