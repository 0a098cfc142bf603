"""OAuth 2.0 (reference §1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.errors import ApiError, refusal
from voucherify_sandbox.messages import Answer, Request

if TYPE_CHECKING:
    from voucherify_sandbox.project import Project


def generate_token(project: Project, request: Request) -> Answer:
    """A new token for the key pair that asks."""
    return Answer(200, project.access.grant(dict(request.form()), project.identities))


def _token(request: Request) -> str:
    token = request.form().get("access_token")
    if not token:
        raise refusal(400, "missing_parameters", "Missing parameters: access_token")
    return token


def introspect_token(project: Project, request: Request) -> Answer:
    """What a token is worth; an unknown or expired one is just not active."""
    token = _token(request)
    if not project.access.knows_token(token):
        return Answer(200, {"active": False})
    return Answer(200, {"active": True, **project.access.describe(token)})


def revoke_token(project: Project, request: Request) -> Answer:
    """End a token; 404 without a body if there is none."""
    if project.access.tokens.pop(_token(request), None) is None:
        raise ApiError(404, None)
    return Answer(204)
