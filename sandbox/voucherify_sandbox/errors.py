"""The answers Voucherify gives instead of what was asked for (reference §3)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """One refusal: the HTTP status and the body that explains it."""

    def __init__(
        self, status: int, body: Json | None, headers: dict[str, str] | None = None
    ) -> None:
        """Keep what the rim needs to print."""
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}

    @property
    def key(self) -> str:
        """The machine-readable kind; empty where Voucherify sends none."""
        return str((self.body or {}).get("key", ""))

    @property
    def row(self) -> dict[str, str]:
        """The same refusal as one entry of a bulk job's `errors` (reference §8.2)."""
        body = self.body or {}
        return {name: str(body.get(name, "")) for name in ("key", "message", "details")}


def refusal(status: int, key: str, message: str, details: str = "", **more: str) -> ApiError:
    """The usual error object (reference §3.1)."""
    body: Json = {"code": status, "key": key, "message": message}
    if details:
        body["details"] = details
    return ApiError(status, {**body, **more})


def not_found(kind: str, identity: str) -> ApiError:
    """404 for one resource, named as Voucherify names it (reference §3.3)."""
    return refusal(
        404,
        "not_found",
        "Resource not found",
        f"Cannot find {kind} with id {identity}",
        resource_id=identity,
        resource_type=kind.replace(" ", "_"),
    )


def invalid_payload(details: str) -> ApiError:
    """400 for a body of the wrong form."""
    return refusal(400, "invalid_payload", "Invalid payload", details)


def invalid_query(details: str) -> ApiError:
    """400 for a query parameter that cannot be used."""
    return refusal(400, "invalid_query_params", "Invalid query params", details)


def plain_error(status: int, error: str, message: str) -> ApiError:
    """The second error shape: bodies that are too large or not JSON (reference §3.1)."""
    return ApiError(status, {"statusCode": status, "error": error, "message": message})


def unauthorized() -> ApiError:
    """401 as published (reference §1.5)."""
    return ApiError(401, {"code": 401, "message": "Unauthorized", "key": "unauthorized"})
