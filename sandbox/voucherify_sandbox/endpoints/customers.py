"""`/v1/customers`: list, create, read, update, delete, activity, segments."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from voucherify_sandbox.activity import ActivityQuery, select, with_unknown
from voucherify_sandbox.customer_list import ListQuery
from voucherify_sandbox.request import MAX_LIMIT, Request
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from voucherify_sandbox.activity import Event
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project

MAX_PAGE = 99
_ANY_PAGE = 10**9
_ORDERS = frozenset(
    f"{sign}{name}" for sign in ("", "-") for name in ("created_at", "updated_at", "source_id")
)
_TIME_ORDERS = frozenset(("created_at", "-created_at"))
_CATEGORIES = frozenset(("ACTION", "EFFECT"))


def list_customers(project: Project, request: Request) -> Response:
    """One page."""
    page = _page(project, request)
    segment = request.text("segment_id")
    query = ListQuery(
        limit=request.limit(),
        page=page,
        order=request.text("order", _ORDERS) or "-created_at",
        starting_after=request.timestamp("starting_after"),
        created_at=request.window("created_at"),
        updated_at=request.window("updated_at"),
        email=request.text("email"),
        city=request.text("city"),
        name=request.text("name"),
        members=None if segment is None else project.segments.members.get(segment, frozenset()),
    )
    found = project.people.page(query)
    body: Json = {
        "object": "list",
        "data_ref": "customers",
        "customers": [project.show(customer.resource()) for customer in found.customers],
    }
    if found.total is not None:
        body["total"] = found.total
    # A live list without `page` has it before there is a cursor.
    paged, readings = query.page is not None, project.readings
    if readings.has_more_in_page_mode if paged else readings.has_more_in_cursor_mode:
        body["has_more"] = found.has_more
    return Response(200, body)


def _page(project: Project, request: Request) -> int | None:
    """The requested page; beyond page 99 the reading `page_limit` decides."""
    reading = project.readings.page_limit
    refused = reading in {"page_over_limit", "invalid_query_params"}
    page = request.page(MAX_PAGE if refused else _ANY_PAGE, reading)
    if page is None or page <= MAX_PAGE:
        return page
    return MAX_PAGE if reading == "last" else _ANY_PAGE


def create_customer(project: Project, request: Request) -> Response:
    """Create or update; 200 in both cases, as published."""
    return Response(200, project.show(project.people.upsert(request.object()).resource()))


def get_customer(project: Project, request: Request) -> Response:
    """One customer."""
    return Response(
        200, project.show(project.people.get(request.parameters["customerId"]).resource())
    )


def update_customer(project: Project, request: Request) -> Response:
    """Change the fields in the body; `id` and `source_id` cannot be changed."""
    customer = project.people.get(request.parameters["customerId"])
    fields = {
        name: value for name, value in request.object().items() if name not in {"id", "source_id"}
    }
    project.people.update(customer, fields, bulk=False)
    return Response(200, project.show(customer.resource()))


def delete_customer(project: Project, request: Request) -> Response:
    """Delete."""
    project.people.delete(request.parameters["customerId"])
    return Response(204)


def delete_permanently(project: Project, request: Request) -> Response:
    """Delete permanently."""
    customer = project.people.forget(request.parameters["customerId"])
    orders = project.records.orders.values()
    counts = {
        "events": len(customer.activity),
        "customer_events": len(customer.activity),
        "daily_events": 0,
        "segments": len(project.segments.of(customer.id)),
        "orders": sum(order["customer_id"] == customer.id for order in orders),
        "order_events": 0,
        "customer": 1,
    }
    body = {
        "id": project.ids.new("del"),
        "created_at": project.clock.now(),
        "related_object_id": customer.id,
        "related_object": "customer",
        "status": "DONE",
        "data_json": counts,
        # Voucherify's own spelling.
        "object": "pernament_deletion",
    }
    return Response(200, body)


def list_activity(project: Project, request: Request) -> Response:
    """The events of one customer."""
    customer = project.people.get(request.parameters["customerId"])
    query = ActivityQuery(
        limit=request.limit(),
        order=request.text("order", _TIME_ORDERS),
        starting_after_id=request.text("starting_after_id"),
        start_date=request.timestamp("start_date"),
        end_date=request.timestamp("end_date"),
        campaign_id=request.text("campaign_id"),
        campaign_type=request.text("campaign_type"),
        category=request.text("category", _CATEGORIES),
        type=request.text("type"),
    )
    events, more = select(_activity(project, customer), query, project.readings)
    body: Json = {
        "object": "list",
        "data_ref": "data",
        "data": [project.show(event.resource(project.readings)) for event in events],
        "has_more": more,
    }
    if more:
        body["more_starting_after"] = events[-1].id
    return Response(200, body)


def _activity(project: Project, customer: Customer) -> list[Event]:
    """The events that the list shows, which may lag."""
    lag = timedelta(seconds=project.readings.list_lag_seconds)
    until = project.clock.now() - lag if lag else None
    events = with_unknown(customer.activity, project.readings)
    return [event for event in events if until is None or event.created_at <= until]


def list_segments_of(project: Project, request: Request) -> Response:
    """The segments of a customer; an empty list, not 404, for an unknown one."""
    customer = project.people.find(request.parameters["customerId"])
    segments = project.segments.of(customer.id) if customer is not None else []
    data = [{name: segment[name] for name in ("id", "name", "object")} for segment in segments]
    body = {"object": "list", "data_ref": "data", "data": data[:MAX_LIMIT], "total": len(data)}
    return Response(200, body)
