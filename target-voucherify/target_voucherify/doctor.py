"""The examination of the target's set-up (`--doctor`)."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from target_voucherify.acknowledgement.ledger import open_ledger
from target_voucherify.acknowledgement.private_files import holder_of
from target_voucherify.entities.entity import entity_settings
from target_voucherify.entities.mapping import mapped_metadata
from target_voucherify.entities.metadata_schema import PATH, MetadataSchema
from target_voucherify.run import client_of, ledger_path
from target_voucherify.settings import Settings
from target_voucherify.voucherify_client.errors import NotFoundError, VoucherifyError
from target_voucherify.voucherify_client.examination import (
    Examination,
    examine_access,
    examine_file,
    examine_versions,
    may_read,
)
from target_voucherify.voucherify_client.log_names import column_name
from target_voucherify.voucherify_client.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_voucherify.entities.entity import EntitySettings
    from target_voucherify.voucherify_client.client import Client

JOBS = "/v1/async-actions"
EXPORTS = "/v1/exports"
FILES = ("refused_records_path", "results_path", "metrics_path")
GRACE = 1.0


def examine(config_of: Callable[[], Mapping[str, Any]]) -> tuple[int, str]:
    """Examine a set-up; the exit status and the report.

    Args:
        config_of: returns the checked configuration with its defaults.
    """
    examination = Examination("target-voucherify")
    examine_versions(examination)
    parsed: list[Settings] = []
    entities: list[EntitySettings] = []

    def read_settings() -> str:
        # As a dry run, whose client and ledgers only read.
        parsed.append(replace(Settings.from_config(config_of()), dry_run=True))
        entities.extend(entity_settings(parsed[0]))
        made = [f"{each.entity.name} from stream {each.stream}" for each in entities]
        return f"valid: {', '.join(made)}"

    if not examination.check("settings", read_settings):
        examination.leave("keys and region", "the settings come first")
        return examination.status, examination.report(0)
    settings = parsed[0]
    _files(examination, settings, entities)
    client = client_of(settings, entities, Shutdown(GRACE), logging.getLogger("target-voucherify"))
    if examine_access(examination, client, entities[0].entity.one):
        _requests(examination, client, settings, entities)
    else:
        examination.leave("entities", "the keys come first")
    client.close()
    return examination.status, examination.report(client.usage.calls)


def _files(examination: Examination, settings: Settings, entities: list[EntitySettings]) -> None:
    for each in entities:
        if path := ledger_path(settings, each):
            what = f"ledger of {each.entity.name}"
            examination.check(what, partial(_ledger, settings, each, path))
    for name in FILES:
        if path := getattr(settings, name):
            examination.check(name, partial(_file, name, path))


def _file(setting: str, path: str) -> str:
    if holder := holder_of(path):
        raise VoucherifyError(
            f"{setting}: {path} is in use by another run ({holder}): wait until it ends."
        )
    return examine_file(setting, path)


def _ledger(settings: Settings, own: EntitySettings, path: str) -> str:
    said = _file("ledger_path", path)
    if not Path(path).exists():
        return f"{said}; the first run sends every record"
    ledger = open_ledger(settings, path, own.shaping)
    try:
        return f"{said}; it knows {ledger.count():,} {own.entity.name} of this project"
    finally:
        ledger.close()


def _requests(
    examination: Examination,
    client: Client,
    settings: Settings,
    entities: list[EntitySettings],
) -> None:
    for each in entities:
        name = each.entity.name
        if each is not entities[0]:
            examination.ask(name, client, partial(may_read, client, each.entity.one))
        examination.ask(f"metadata of {name}", client, partial(_metadata, client, each))
    examination.ask("jobs", client, partial(may_read, client, JOBS))
    if settings.compare == "export" or any(each.is_imported for each in entities):
        examination.ask("exports", client, partial(may_read, client, EXPORTS))
    examination.leave("writing", "only a run can tell whether the key may write")


def _metadata(client: Client, own: EntitySettings) -> str:
    """Compare the mapping with the metadata schema.

    Raises:
        VoucherifyError: records would be refused for it.
    """
    resource = own.entity.metadata
    try:
        schema = MetadataSchema(client.request("GET", PATH, {"resource": resource}).body)
    except NotFoundError:
        return "there is no metadata schema, so any metadata is taken"
    keys = mapped_metadata(own.mapping)
    if keys is None:
        return f"{len(schema.definitions)} keys are defined; the records decide which are sent"
    unknown = [key for key in keys if schema.refuses(key)]
    missing = [key for key in schema.required if key not in keys]
    problems = [
        f"{column_name(key)} is mapped, and the schema, which allows defined keys only, lacks it"
        for key in unknown
    ]
    problems += [f"{column_name(key)} is required, and not mapped" for key in missing]
    if problems:
        raise VoucherifyError(
            f"Records would be refused: {'; '.join(problems)}. Change the mapping, or the "
            f"metadata schema of the {own.entity.singular} in Voucherify."
        )
    return f"the mapping fits the schema of {len(schema.definitions)} keys"
