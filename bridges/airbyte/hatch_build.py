"""Metadata hook: the plugins come from the same checkout, whose path only the build knows."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

PLUGINS = ("tap-voucherify", "target-voucherify")
CHECKOUT = Path(__file__).resolve().parents[2]


class PluginsOfTheCheckout(MetadataHookInterface):
    def update(self, metadata):
        folders = {plugin: CHECKOUT / plugin for plugin in PLUGINS}
        if not all(folder.is_dir() for folder in folders.values()):
            raise SystemExit("airbyte-voucherify needs both plugins beside it: take the repository")
        sources = [f"{plugin} @ {folder.as_uri()}" for plugin, folder in folders.items()]
        metadata["dependencies"] = ["msgspec", *sources]
