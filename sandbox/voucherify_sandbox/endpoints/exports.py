"""`/v1/exports` and the download of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_page
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.exports import Export
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request

_EXPORTS = Rules(data_ref="exports", orders=("created_at", "status"))


def _shown(project: Project, request: Request, export: Export) -> Json:
    """An export; a finished one has a new download URL, on the sandbox's host by default."""
    if export.status != "DONE":
        return export.resource(None)
    token = project.exports.token(export)
    host = export.download_host or request.base_url
    return export.resource(f"{host}/v1/exports/{export.id}?token={token}")


def create_export(project: Project, request: Request) -> Response:
    """Schedule an export."""
    export = project.exports.create(request.object(), request.export_fault, request.download_host)
    return Response(200, project.show(_shown(project, request, export)))


def list_exports(project: Project, request: Request) -> Response:
    """One page of exports."""
    rows = [_shown(project, request, export) for export in project.exports.all.values()]
    return by_page(project, request, rows, _EXPORTS)


def get_export(project: Project, request: Request) -> Response:
    """One export; with a `token` its file, which Voucherify serves from another host."""
    identity, token = request.parameters["exportId"], request.text("token")
    if token is not None:
        content = project.exports.download(identity, token)
        return Response(200, raw=content, content_type="text/plain; charset=utf-8")
    export = project.exports.get(identity)
    project.exports.poll(export)
    return Response(200, project.show(_shown(project, request, export)))


def delete_export(project: Project, request: Request) -> Response:
    """Delete an export."""
    del project.exports.all[project.exports.get(request.parameters["exportId"]).id]
    return Response(204)
