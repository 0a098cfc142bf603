"""Bulk writes and async actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox import csv_import
from voucherify_sandbox.endpoints.programs import import_order
from voucherify_sandbox.errors import invalid_payload, not_found, plain_error, refusal
from voucherify_sandbox.jobs import IMPORT, ORDERS, Job
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request

MAX_BYTES = 10_485_760
MAX_ORDERS = 2_000
PRODUCTS = "PRODUCTS.BULK_UPDATE"


def update_in_bulk(project: Project, request: Request) -> Response:
    """Queue the upsert of an array of customers."""
    return _submit(project, request, "CUSTOMERS.BULK_UPDATE", _rows(project, request))


def update_products_in_bulk(project: Project, request: Request) -> Response:
    """Queue the upsert of an array of products."""
    return _submit(project, request, PRODUCTS, _rows(project, request))


def update_metadata_in_bulk(project: Project, request: Request) -> Response:
    """Queue the same metadata for many customers."""
    _check_size(request)
    body = request.object()
    keys, metadata = body.get("source_ids"), body.get("metadata")
    if not isinstance(keys, list) or not isinstance(metadata, dict):
        raise invalid_payload("Properties .source_ids and .metadata are required")
    rows = [{"source_id": key, "metadata": metadata} for key in keys]

    return _submit(project, request, "CUSTOMERS.METADATA_UPDATE", rows)


def import_file(project: Project, request: Request) -> Response:
    """Queue the import of a CSV file, which replaces whole customers."""
    _check_size(request)
    rows = csv_import.rows(csv_import.uploaded(request), project.people.rules)

    return _submit(project, request, IMPORT, rows)


def import_orders(project: Project, request: Request) -> Response:
    """Queue the import of an array of orders, of which nothing else follows."""
    rows = _rows(project, request)
    if len(rows) > MAX_ORDERS:
        raise invalid_payload(f"Payload should have at most {MAX_ORDERS} items")
    is_running = any(job.type == ORDERS for job in project.jobs.waiting)
    if is_running and project.readings.second_import == "refused":
        raise refusal(409, "import_in_progress", "Import in progress", "Wait for the first one")
    queued = _submit(project, request, ORDERS, rows)
    return Response(200, queued.body)


def _rows(project: Project, request: Request) -> list[Any]:
    """The array that a request brings."""
    _check_size(request)
    rows = request.json()
    if not isinstance(rows, list):
        raise invalid_payload("Payload should be array")
    _check_rows(project, rows)
    return _without_duplicates(project, rows)


def _check_size(request: Request) -> None:
    """413 for a body above the limit, which counts bytes as sent."""
    if len(request.body) > MAX_BYTES:
        text = f"Payload content length greater than maximum allowed: {MAX_BYTES}"
        raise plain_error(413, "Request Entity Too Large", text)


def _check_rows(project: Project, rows: list[Any]) -> None:
    """Refuse the request as a whole where the readings say so."""
    most = project.readings.bulk_max_records
    if most and len(rows) > most:
        details = f"A request may hold at most {most} customers"
        raise refusal(400, "too_many_customers", "Too many customers", details)
    if project.readings.bulk_invalid_rows == "request":
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get("source_id"), str):
                raise invalid_payload("Property .source_id should be string")


def _without_duplicates(project: Project, rows: list[Any]) -> list[Any]:
    """The rows that are kept under the reading `duplicates`."""
    reading = project.readings.duplicates
    if reading == "in_order":
        return rows
    places: dict[object, int] = {}
    twice = set()
    for place, row in enumerate(rows):
        key = row.get("source_id") if isinstance(row, dict) else None
        key = key if isinstance(key, str) else place
        if key in places:
            twice.add(places[key] if reading == "last" else place)
        if reading == "last" or key not in places:
            places[key] = place
    if reading == "refuse" and twice:
        raise invalid_payload("Property .source_id should be unique")
    return [row for place, row in enumerate(rows) if place not in twice]


def _submit(project: Project, request: Request, kind: str, rows: Sequence[Json]) -> Response:
    def apply(row: Json) -> bool:
        if not isinstance(row, dict):
            raise invalid_payload("Item should be object")
        if kind == PRODUCTS:
            return project.products.upsert(row)
        if kind == ORDERS:
            return import_order(project, row)
        before = len(project.people.by_id)
        if kind == IMPORT:
            project.people.overwrite(row)
        else:
            project.people.upsert(row, bulk=True)
        return len(project.people.by_id) == before

    job = Job(
        id=project.ids.new("aa"),
        type=kind,
        rows=rows,
        apply=apply,
        created_at=project.clock.now(),
        request_id=request.request_id,
        fault=request.job_fault,
    )
    project.jobs.submit(job)
    return Response(202, {"async_action_id": job.id})


def get_async_action(project: Project, request: Request) -> Response:
    """One job; each request advances the queue."""
    project.jobs.poll()
    identity = request.parameters["asyncActionId"]
    job = project.jobs.all.get(identity)
    if job is None or job.fault == "vanishes":
        raise not_found("async action", identity)
    reports = [f"{request.base_url}/v1/async-actions/{job.id}/report?token={job.request_id}"]
    return Response(200, project.show(job.resource(project.readings, reports, listed=False)))


def get_report(project: Project, request: Request) -> Response:
    """The report of a job; `found` and `updated` are its only documented columns."""
    identity = request.parameters["asyncActionId"]
    job = project.jobs.all.get(identity)
    if job is None or request.text("token") != job.request_id:
        raise not_found("async action", identity)
    lines = ["source_id,found,updated", *(",".join(line) for line in job.report)]
    return Response(200, raw="\n".join(lines).encode(), content_type="text/csv; charset=utf-8")


def list_async_actions(project: Project, request: Request) -> Response:
    """The newest jobs, without results."""
    limit, end = request.limit(), request.timestamp("end_date")
    project.jobs.poll()
    jobs = [
        job
        for job in reversed(project.jobs.all.values())
        if (end is None or job.created_at < end) and job.fault != "vanishes"
    ]
    shown = [project.show(job.resource(project.readings, [], listed=True)) for job in jobs[:limit]]
    body = {
        "object": "list",
        "data_ref": "async_actions",
        "async_actions": shown,
        "has_more": len(jobs) > limit,
    }
    return Response(200, body)
