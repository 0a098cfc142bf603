"""The command `tap-voucherify`."""

from tap_voucherify.tap import TapVoucherify
from tap_voucherify.voucherify_client.exit_status import command

main = command(TapVoucherify)

if __name__ == "__main__":
    main()
