"""`/v1/customers` (reference §5, §6)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from voucherify_sandbox.activity import ActivityQuestion, select, with_unknown
from voucherify_sandbox.listing import Question
from voucherify_sandbox.messages import MAX_LIMIT, Answer, Request

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


def list_customers(project: Project, request: Request) -> Answer:
    """One page (reference §5)."""
    page = _page(project, request)
    segment = request.text("segment_id")
    question = Question(
        limit=request.limit(),
        page=page,
        order=request.text("order", _ORDERS) or "-created_at",
        starting_after=request.moment("starting_after"),
        created_at=request.window("created_at"),
        updated_at=request.window("updated_at"),
        email=request.text("email"),
        city=request.text("city"),
        name=request.text("name"),
        members=None if segment is None else project.segments.members.get(segment, frozenset()),
    )
    found = project.people.page(question)
    body: Json = {
        "object": "list",
        "data_ref": "customers",
        "customers": [project.show(customer.shown()) for customer in found.customers],
    }
    if found.total is not None:
        body["total"] = found.total
    cursor = question.starting_after is not None
    readings = project.readings
    if readings.has_more_in_cursor_mode if cursor else readings.has_more_in_page_mode:
        body["has_more"] = found.has_more
    return Answer(200, body)


def _page(project: Project, request: Request) -> int | None:
    """The page asked for; what lies past the last one allowed is a reading (§14)."""
    reading = project.readings.page_limit
    refused = reading in {"page_over_limit", "invalid_query_params"}
    page = request.page(MAX_PAGE if refused else _ANY_PAGE, reading)
    if page is None or page <= MAX_PAGE:
        return page
    return MAX_PAGE if reading == "last" else _ANY_PAGE


def create_customer(project: Project, request: Request) -> Answer:
    """Create or update (reference §6.1)."""
    return Answer(200, project.show(project.people.upsert(request.object()).shown()))


def get_customer(project: Project, request: Request) -> Answer:
    """One customer (reference §6.7)."""
    return Answer(200, project.show(project.people.get(request.parameters["customerId"]).shown()))


def update_customer(project: Project, request: Request) -> Answer:
    """Change what the body names (reference §6.2); it cannot change a key."""
    customer = project.people.get(request.parameters["customerId"])
    fields = {
        name: value for name, value in request.object().items() if name not in {"id", "source_id"}
    }
    project.people.update(customer, fields, bulk=False)
    return Answer(200, project.show(customer.shown()))


def delete_customer(project: Project, request: Request) -> Answer:
    """Delete (reference §6.5)."""
    project.people.delete(request.parameters["customerId"])
    return Answer(204)


def delete_permanently(project: Project, request: Request) -> Answer:
    """Delete for good (reference §6.6)."""
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
        "id": project.identities.new("del"),
        "created_at": project.clock.now(),
        "related_object_id": customer.id,
        "related_object": "customer",
        "status": "DONE",
        "data_json": counts,
        # Voucherify's own spelling.
        "object": "pernament_deletion",
    }
    return Answer(200, body)


def list_activity(project: Project, request: Request) -> Answer:
    """The events of one customer (reference §10.1)."""
    customer = project.people.get(request.parameters["customerId"])
    question = ActivityQuestion(
        limit=request.limit(),
        order=request.text("order", _TIME_ORDERS),
        starting_after_id=request.text("starting_after_id"),
        start_date=request.moment("start_date"),
        end_date=request.moment("end_date"),
        campaign_id=request.text("campaign_id"),
        campaign_type=request.text("campaign_type"),
        category=request.text("category", _CATEGORIES),
        type=request.text("type"),
    )
    events, more = select(_activity(project, customer), question, project.readings)
    body: Json = {
        "object": "list",
        "data_ref": "data",
        "data": [project.show(event.shown(project.readings)) for event in events],
        "has_more": more,
    }
    if more:
        body["more_starting_after"] = events[-1].id
    return Answer(200, body)


def _activity(project: Project, customer: Customer) -> list[Event]:
    """The events a list shows by now: it may lag behind what happened."""
    lag = timedelta(seconds=project.readings.list_lag_seconds)
    until = project.clock.now() - lag if lag else None
    events = with_unknown(customer.activity, project.readings)
    return [event for event in events if until is None or event.created_at <= until]


def list_segments_of(project: Project, request: Request) -> Answer:
    """The segments a customer is in; an unknown one is in none (reference §6.7)."""
    customer = project.people.find(request.parameters["customerId"])
    segments = project.segments.of(customer.id) if customer is not None else []
    data = [{name: segment[name] for name in ("id", "name", "object")} for segment in segments]
    body = {"object": "list", "data_ref": "data", "data": data[:MAX_LIMIT], "total": len(data)}
    return Answer(200, body)
