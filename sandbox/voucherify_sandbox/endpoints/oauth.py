"""OAuth 2.0 tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.errors import ApiError, refusal
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request


def generate_token(project: Project, request: Request) -> Response:
    """A new token for the key pair of the request."""
    return Response(200, project.access.grant(dict(request.form()), project.ids))


def _token(request: Request) -> str:
    token = request.form().get("access_token")
    if not token:
        raise refusal(400, "missing_parameters", "Missing parameters: access_token")
    return token


def introspect_token(project: Project, request: Request) -> Response:
    """The fields of a token; `active` is false for an unknown or expired one."""
    token = _token(request)
    if not project.access.knows_token(token):
        return Response(200, {"active": False})
    return Response(200, {"active": True, **project.access.describe(token)})


def revoke_token(project: Project, request: Request) -> Response:
    """Revoke a token; 404 without a body if there is none."""
    if project.access.tokens.pop(_token(request), None) is None:
        raise ApiError(404, None)
    return Response(204)
