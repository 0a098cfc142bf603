"""`/v1/exports` and the download of their files (reference §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_page
from voucherify_sandbox.messages import Answer, Request

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.exports import Export
    from voucherify_sandbox.project import Project

_EXPORTS = Rules(data_ref="exports", orders=("created_at", "status"))


def _shown(project: Project, request: Request, export: Export) -> Json:
    """An export; a finished one with a fresh address, on the sandbox's own host unless told."""
    if export.status != "DONE":
        return export.shown(None)
    token = project.exports.token(export)
    host = export.elsewhere or request.base_url
    return export.shown(f"{host}/v1/exports/{export.id}?token={token}")


def create_export(project: Project, request: Request) -> Answer:
    """Schedule one (reference §9.1)."""
    export = project.exports.create(request.object(), request.export_trouble, request.elsewhere)
    return Answer(200, project.show(_shown(project, request, export)))


def list_exports(project: Project, request: Request) -> Answer:
    """All of them."""
    rows = [_shown(project, request, export) for export in project.exports.all.values()]
    return by_page(project, request, rows, _EXPORTS)


def get_export(project: Project, request: Request) -> Answer:
    """One export; with a `token` its file, which Voucherify keeps on another host."""
    identity, token = request.parameters["exportId"], request.text("token")
    if token is not None:
        content = project.exports.download(identity, token)
        return Answer(200, raw=content, content_type="text/plain; charset=utf-8")
    export = project.exports.get(identity)
    project.exports.poll(export)
    return Answer(200, project.show(_shown(project, request, export)))


def delete_export(project: Project, request: Request) -> Answer:
    """Remove one."""
    del project.exports.all[project.exports.get(request.parameters["exportId"]).id]
    return Answer(204)
