"""The control path `/_sandbox/…`: readings, faults, movements and actions over HTTP."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import timestamps
from voucherify_sandbox.errors import ApiError, invalid_payload, refusal
from voucherify_sandbox.faults import Fault
from voucherify_sandbox.movement import Movement
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from voucherify_sandbox.faults import Faults
    from voucherify_sandbox.movement import Movements
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import LoggedRequest, Request

PREFIX = "/_sandbox/"


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = timestamps.parse(str(value))
    if moment is None:
        raise ValueError(f"{value!r} is not an ISO 8601 timestamp")
    return moment


def _add_customers(
    project: Project,
    *,
    count: int,
    spread_seconds: float = 0,
    created_at: str | None = None,
    updated_at: str | None = None,
    **more: str,
) -> list[str]:
    return project.add_customers(
        count,
        spread=timedelta(seconds=spread_seconds),
        created_at=_moment(created_at),
        updated_at=_moment(updated_at),
        **more,
    )


def _advance_clock(project: Project, *, seconds: float) -> str:
    project.clock.advance(seconds)
    return project.clock.now().isoformat()


def _set_clock(project: Project, *, instant: str | None) -> str:
    project.clock.set(_moment(instant))
    return project.clock.now().isoformat()


# The actions of `POST /_sandbox/actions` by name; their arguments are those of the Python methods.
ACTIONS: dict[str, Callable[..., Any]] = {
    "add_customers": _add_customers,
    "add_loyalty_tier": lambda project, **args: project.add_loyalty_tier(**args),
    "add_pending_points": lambda project, **args: project.add_pending_points(**args),
    "add_webhook": lambda project, **args: project.add_webhook(**args),
    "advance_clock": _advance_clock,
    "books": lambda project: project.books(),
    "change": lambda project, **args: project.change(**args),
    "create_campaign": lambda project, **args: project.create_campaign(**args),
    "create_product": lambda project, **args: project.create_product(**args),
    "create_promotion": lambda project, **args: project.create_promotion(**args),
    "create_referral_campaign": lambda project, **args: project.create_referral_campaign(**args),
    "create_segment": lambda project, **args: project.create_segment(**args),
    "define_metadata": lambda project, **args: project.define_metadata(**args),
    "delete_customer": lambda project, **args: project.delete_customer(**args),
    "finish_jobs": lambda project: project.finish_jobs(),
    "hide": lambda project, **args: project.hide(**args),
    "place_order": lambda project, **args: project.place_order(**args),
    "publish": lambda project, **args: project.publish(**args),
    "redeem": lambda project, **args: project.redeem(**args),
    "referral_code": lambda project, **args: project.referral_code(**args),
    "remove": lambda project, **args: project.remove(**args),
    "roll_back": lambda project, **args: project.roll_back(**args),
    "set_clock": _set_clock,
    "settle": lambda project: project.settle(),
    "track_event": lambda project, **args: project.track_event(**args),
    "update_customer": lambda project, **args: project.update_customer(**args),
    "upsert_customer": lambda project, **args: project.upsert_customer(**args),
    "webhooks": lambda project: project.webhooks.status(),
}


def act(project: Project, action: Mapping[str, Any]) -> object:
    """Perform `{"action": name, …arguments}` and return its result.

    Raises:
        ValueError: there is no such action or its arguments do not fit.
    """
    arguments = dict(action)
    name = arguments.pop("action", None)
    if name not in ACTIONS:
        raise ValueError(f"no action is called {name!r}; there are: {', '.join(sorted(ACTIONS))}")
    try:
        with project.lock:
            return ACTIONS[name](project, **arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def move(project: Project, actions: Iterable[Mapping[str, Any]]) -> None:
    """Perform the actions of movements; an object that is gone by then is not an error."""
    for action in actions:
        with suppress(ApiError):
            act(project, action)


@dataclass
class Controls:
    """What the control path acts on."""

    project: Project
    faults: Faults
    movements: Movements
    requests: list[LoggedRequest]
    forget_requests: Callable[[], None]


def respond(controls: Controls, request: Request) -> Response:
    """Respond to one control request.

    Raises:
        ApiError: 404 for an unknown path, 400 for an invalid value.
    """
    name = f"{request.method} {request.path.removeprefix(PREFIX)}"
    if name not in _CONTROLS:
        raise refusal(
            404, "not_found", "Resource not found", f"there is only {', '.join(_CONTROLS)}"
        )
    try:
        return Response(200, _CONTROLS[name](controls, request))
    except (ValueError, TypeError) as error:
        raise invalid_payload(str(error)) from error


def _state(controls: Controls, _: Request) -> object:
    project = controls.project
    with project.lock:
        calls = Counter(f"{served.method} {served.template}" for served in controls.requests)
        return {
            **project.counts(),
            "calls": len(controls.requests),
            "calls_by_operation": dict(sorted(calls.items())),
            "faults_injected": controls.faults.injected,
            "books": project.books(),
        }


def _readings(controls: Controls, request: Request) -> object:
    with controls.project.lock:
        controls.project.readings.change(**request.object())
        return asdict(controls.project.readings)


def _add_faults(controls: Controls, request: Request) -> object:
    body = request.json()
    faults = [Fault.from_json(one) for one in (body if isinstance(body, list) else [body])]
    controls.faults.add(*faults)
    return [fault.to_json() for fault in controls.faults.all]


def _clear_faults(controls: Controls, _: Request) -> object:
    controls.faults.clear()
    return {"injected": controls.faults.injected}


def _add_movements(controls: Controls, request: Request) -> object:
    body = request.json()
    controls.movements.add(
        *(Movement.from_json(one) for one in (body if isinstance(body, list) else [body]))
    )
    return [movement.to_json() for movement in controls.movements.all]


def _clear_movements(controls: Controls, _: Request) -> object:
    controls.movements.clear()
    return {}


def _forget(controls: Controls, _: Request) -> object:
    controls.forget_requests()
    return {}


def _act(controls: Controls, request: Request) -> object:
    return {"result": act(controls.project, request.object())}


_CONTROLS: dict[str, Callable[[Controls, Request], object]] = {
    "GET state": _state,
    "GET readings": lambda controls, _: asdict(controls.project.readings),
    "POST readings": _readings,
    "GET faults": lambda controls, _: [fault.to_json() for fault in controls.faults.all],
    "POST faults": _add_faults,
    "DELETE faults": _clear_faults,
    "GET movements": lambda controls, _: [one.to_json() for one in controls.movements.all],
    "POST movements": _add_movements,
    "DELETE movements": _clear_movements,
    "POST actions": _act,
    "DELETE requests": _forget,
}
