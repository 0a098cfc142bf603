"""dlt source and destination for Voucherify, run by tap-voucherify and target-voucherify."""

from dlt_voucherify.destination import voucherify_destination
from dlt_voucherify.source import voucherify_source

__all__ = ["voucherify_destination", "voucherify_source"]
