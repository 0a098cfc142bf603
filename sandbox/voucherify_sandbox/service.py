"""From a request to its response: authentication, limits, faults, routes. Knows no sockets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from voucherify_sandbox import control, routes
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY, Access
from voucherify_sandbox.clock import Clock
from voucherify_sandbox.dialect import Dialect
from voucherify_sandbox.errors import ApiError, refusal, unauthorized
from voucherify_sandbox.fault_responses import fault_response
from voucherify_sandbox.faults import Fault, Faults
from voucherify_sandbox.limits import Limits, Quota
from voucherify_sandbox.movement import Movements
from voucherify_sandbox.project import Project
from voucherify_sandbox.readings import Readings
from voucherify_sandbox.request import LoggedRequest, Request, parsed_query
from voucherify_sandbox.response import Response
from voucherify_sandbox.timestamps import printer

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEVER_SERVED = frozenset(("refuse", "reset", "cut_before"))


@dataclass(frozen=True)
class Outcome:
    """What the server sends: `response`, spoiled by `fault`; `None` closes the connection."""

    response: Response | None
    fault: Fault | None = None


@dataclass
class Service:
    """One sandbox without its socket."""

    application_id: str = APPLICATION_ID
    secret_key: str = SECRET_KEY
    readings: Readings = field(default_factory=Readings)
    limits: Limits = field(default_factory=Limits)
    faults: Faults = field(default_factory=Faults)
    movements: Movements = field(default_factory=Movements)
    dialect: Dialect = field(default_factory=Dialect)
    clock: Clock = field(default_factory=Clock)
    requests: list[LoggedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Create an empty project."""
        self.access = Access(self.clock, self.application_id, self.secret_key)
        self.project = Project(self.clock, self.readings, self.access)
        self.quota = Quota(self.clock, self.limits)
        self._number = 0
        self._controls = control.Controls(
            self.project, self.faults, self.movements, self.requests, self.forget_requests
        )

    def forget_requests(self) -> None:
        """Empty the list of requests; numbers begin at 1 again."""
        with self.project.lock:
            self.requests.clear()
            self._number = 0

    def serve(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Respond to one request; `target` is path and query as sent."""
        raw_path, _, query = target.partition("?")
        request = Request(
            method=method,
            path=unquote(raw_path),
            query=parsed_query(query),
            headers=headers,
            body=body,
            base_url=f"http://{headers.get('host', '')}",
        )
        if raw_path.startswith(control.PREFIX):
            return Outcome(self._control(request).encoded(datetime.isoformat))
        with self.project.lock:
            self._number += 1
            template = routes.template(method, raw_path)
            served = LoggedRequest(
                self._number, method, request.path, request.query, headers, template=template
            )
            self.requests.append(served)
            fault = self.faults.strike(method, request.path, served.number)
            served.fault = fault.kind if fault else ""
            before, after = self.movements.actions(method, request.path, served.number)
            control.move(self.project, before)
            if fault is not None and fault.kind in _NEVER_SERVED:
                return Outcome(None, fault)
            response = self._respond(request, raw_path, fault)
            response = response.encoded(printer(self.readings.timestamps), self.dialect)
            served.status = response.status
            control.move(self.project, after)
            return Outcome(response, fault)

    def _control(self, request: Request) -> Response:
        """Respond to a control request; a revoked key pair may send one too."""
        pair = _keys(request)
        try:
            if not self.access.is_pair(*pair):
                raise unauthorized()
            return control.respond(self._controls, request)
        except ApiError as error:
            return Response(error.status, error.body)

    def _respond(self, request: Request, raw_path: str, fault: Fault | None) -> Response:
        request = replace(request, request_id=self.project.ids.request())
        request = self._prepared(request, fault)
        bulk = request.method == "POST" and raw_path in routes.BULK
        headers, refused = self.quota.take(bulk=bulk)
        if fault is not None:
            response = fault_response(fault, request, self.clock.now())
            if response is not None:
                return replace(response, headers={**headers, **response.headers})
        try:
            self._authenticate(request)
            if refused is not None:
                raise refused
            response = self._endpoint(request, raw_path)
        except ApiError as error:
            response = Response(error.status, _with_id(error.body, request), error.headers)
        return replace(response, headers={**headers, **response.headers})

    def _prepared(self, request: Request, fault: Fault | None) -> Request:
        """Apply a fault that acts on the project, and pass on those of jobs and exports."""
        set_now = self.faults.all
        self.access.revoked = any(one.kind == "revoked_key" and one.injected for one in set_now)
        kind, _, detail = (fault.kind if fault else "").partition("_")
        if fault is not None and fault.kind == "expired_token":
            self.access.tokens.clear()
        if fault is not None and fault.kind == "act":
            control.act(self.project, fault.action)
        if kind == "job":
            return replace(request, job_fault=detail)
        if fault is not None and kind == "export":
            return replace(request, export_fault=detail, download_host=fault.location)
        return request

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.access.knows_token(token):
            return
        if not self.access.knows_keys(*_keys(request)):
            raise unauthorized()

    def _endpoint(self, request: Request, raw_path: str) -> Response:
        route, parameters = routes.find(request.method, raw_path)
        _check_media_types(request, route)
        self.project.begin(request.request_id)
        try:
            return route.endpoint(self.project, replace(request, parameters=parameters))
        finally:
            self.project.end()


def _keys(request: Request) -> tuple[str, str]:
    headers = request.headers
    return headers.get("x-app-id", ""), headers.get("x-app-token", "")


def _with_id(body: Any, request: Request) -> object:
    """An error body with the request id; the second error shape has none."""
    return {**body, "request_id": request.request_id} if body and "code" in body else body


def _check_media_types(request: Request, route: routes.Route) -> None:
    """415 for an unexpected content type, 406 for an `Accept` without JSON."""
    expected = routes.MEDIA_TYPES.get(route.template, "application/json")
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.body and sent != expected:
        details = f"Content-Type should be {expected}"
        raise refusal(415, "unsupported_media_type", "Unsupported Media Type", details)
    accepted = request.headers.get("accept", "*/*")
    if not any(kind in accepted for kind in ("*/*", "application/*", "application/json", "text/")):
        raise refusal(406, "not_acceptable", "Not acceptable", "Accept should allow JSON")
