"""Charts as SVG, drawn by Vega-Lite, so that the page has no script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import vl_convert
from markupsafe import Markup

if TYPE_CHECKING:
    from demo.report.figures import Rows

COLOURS = {"referee": "#0f766e", "referrer": "#c2410c", "neither": "#6b7280"}
PHONE, DESK = 330, 860
"""Widths in pixels; a chart is drawn for both, and the page shows the one that fits."""

LOOK = {
    "background": "transparent",
    "font": "sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "gridColor": "#e5e7eb", "domain": False},
    "header": {"labelFontSize": 13, "labelFontWeight": "bold", "labelAnchor": "start"},
    "legend": {"labelFontSize": 12, "orient": "top", "title": None},
    "view": {"stroke": None},
    "bar": {"color": "#0f766e"},
}


def rewards_by_day(rows: Rows) -> Markup:
    """Bars of rewards per day, a row for each campaign, coloured by role."""
    names = ("day", "campaign", "role", "rewards")
    roles = sorted({row[2] for row in rows})
    return drawn(
        {
            "data": {"values": [dict(zip(names, row, strict=True)) for row in rows]},
            "mark": "bar",
            "encoding": {
                "row": {
                    "field": "campaign",
                    "title": None,
                    "spacing": 14,
                    "header": {"labelOrient": "top"},
                },
                "x": {
                    "field": "day",
                    "timeUnit": "utcyearmonthdate",
                    "title": None,
                    "axis": {"format": "%d %b", "labelOverlap": True, "tickCount": 5},
                },
                "y": {
                    "field": "rewards",
                    "type": "quantitative",
                    "aggregate": "sum",
                    "title": None,
                    "axis": {"tickMinStep": 1, "tickCount": 4},
                },
                "color": {
                    "field": "role",
                    "scale": {"domain": roles, "range": [COLOURS[role] for role in roles]},
                },
            },
            "height": 110,
        },
        "Rewards by day, campaign and role",
        margin=50,
    )


def counts(rows: list[tuple[str, int]], title: str) -> Markup:
    """Horizontal bars with their numbers, in the given order."""
    data = [{"what": what, "count": count} for what, count in rows]
    return drawn(
        {
            "data": {"values": data},
            "encoding": {
                "y": {
                    "field": "what",
                    "type": "nominal",
                    "sort": None,
                    "title": None,
                    "axis": {"labelLimit": 165, "ticks": False},
                },
                "x": {"field": "count", "type": "quantitative", "axis": None},
            },
            "layer": [
                {"mark": {"type": "bar", "height": {"band": 0.7}}},
                {
                    "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 12},
                    "encoding": {"text": {"field": "count", "format": ",d"}},
                },
            ],
            "height": {"step": 26},
        },
        title,
        margin=220,
    )


def drawn(spec: dict[str, Any], title: str, *, margin: int) -> Markup:
    """A chart as two pictures, for a phone and a desktop.

    Args:
        spec: a Vega-Lite view without its width.
        title: alternative text.
        margin: pixels for labels beside the plot.
    """
    return Markup("").join(
        _svg({**spec, "width": width - margin, "config": LOOK}, title, kind)
        for kind, width in (("phone", PHONE), ("desk", DESK))
    )


def _svg(spec: dict[str, Any], title: str, kind: str) -> Markup:
    picture = vl_convert.vegalite_to_svg(spec)
    # The width follows the page; viewBox keeps the proportions.
    picture = re.sub(r' width="\d+(?:\.\d+)?" height="\d+(?:\.\d+)?"', "", picture, count=1)
    label = Markup(' class="{}" role="img" aria-label="{}"').format(kind, title)
    # Vega escapes the data, so the picture needs no escaping.
    return Markup(picture.replace(' class="marks"', str(label), 1))  # noqa: S704 - see above
