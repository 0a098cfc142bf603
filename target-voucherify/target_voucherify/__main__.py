"""The command `target-voucherify`."""

from target_voucherify.target import TargetVoucherify
from target_voucherify.voucherify_client.exit_status import command

main = command(TargetVoucherify)

if __name__ == "__main__":
    main()
