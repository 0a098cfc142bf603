"""A local stand-in for one Voucherify project."""

from voucherify_sandbox.dialect import Dialect
from voucherify_sandbox.faults import Fault
from voucherify_sandbox.limits import Limits
from voucherify_sandbox.movement import Movement
from voucherify_sandbox.readings import Readings
from voucherify_sandbox.sandbox import Sandbox

__all__ = ["Dialect", "Fault", "Limits", "Movement", "Readings", "Sandbox"]
