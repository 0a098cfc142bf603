"""Voucherify's error responses, in their two published shapes."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """An error response: status, body and headers."""

    def __init__(
        self, status: int, body: Json | None, headers: dict[str, str] | None = None
    ) -> None:
        """Keep status, body and headers for the response."""
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}

    @property
    def key(self) -> str:
        """The machine-readable kind; empty where the body has none."""
        return str((self.body or {}).get("key", ""))

    @property
    def row(self) -> dict[str, str]:
        """The same error as an entry of a bulk job's `errors`."""
        body = self.body or {}
        return {name: str(body.get(name, "")) for name in ("key", "message", "details")}


def refusal(status: int, key: str, message: str, details: str = "", **more: str) -> ApiError:
    """The usual error object: `code`, `key`, `message` and `details`."""
    body: Json = {"code": status, "key": key, "message": message}
    if details:
        body["details"] = details
    return ApiError(status, {**body, **more})


def not_found(kind: str, identity: str) -> ApiError:
    """404 for one resource, with the published texts."""
    return refusal(
        404,
        "not_found",
        "Resource not found",
        f"Cannot find {kind} with id {identity}",
        resource_id=identity,
        resource_type=kind.replace(" ", "_"),
    )


def invalid_payload(details: str) -> ApiError:
    """400 for an invalid body."""
    return refusal(400, "invalid_payload", "Invalid payload", details)


def invalid_query(details: str) -> ApiError:
    """400 for an invalid query parameter."""
    return refusal(400, "invalid_query_params", "Invalid query params", details)


def plain_error(status: int, error: str, message: str) -> ApiError:
    """The second error shape, `statusCode`, `error` and `message`: a body too large or not JSON."""
    return ApiError(status, {"statusCode": status, "error": error, "message": message})


def unauthorized() -> ApiError:
    """401 as in the one published sample, that of an export's download."""
    return ApiError(401, {"code": 401, "message": "Unauthorized", "key": "unauthorized"})
