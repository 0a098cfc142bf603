"""Names from data are logged only where they cannot be data themselves."""

from __future__ import annotations

import pytest

from target_voucherify.voucherify_client.log_names import column_name, member_name


@pytest.mark.parametrize("name", ["tier", "_x1", "lastOrder", "a" * 64])
def test_identifiers_are_shown(name: str) -> None:
    assert member_name(name) == column_name(name) == name


@pytest.mark.parametrize("name", ["First name", "address.city", "public-contacts", "Größe (cm)"])
def test_names_of_columns_are_shown_where_a_schema_declares_them(name: str) -> None:
    assert column_name(name) == name
    assert member_name(name).startswith("#")


@pytest.mark.parametrize(
    "name",
    ["", "a@b.co", "600100200", "+48 600", "a\nb", "a\x1b[31m", "a\u2028b", "\ud800", "a" * 65],
)
def test_what_may_be_data_is_hashed(name: str) -> None:
    assert member_name(name) == column_name(name) != name
    assert member_name(name).startswith("#")
    assert len(member_name(name)) == 11
