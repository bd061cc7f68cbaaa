"""Names that people write: read back as they were written, refused when no record could carry them."""

import pytest

from photon_core.api.errors import CodecError
from photon_core.api.ids import GROUP_ID, INDEX_MAX, ORDER_ID, GroupId, OrderId


def test_an_order_is_read_in_both_of_its_forms() -> None:
    order = OrderId(17, 0, INDEX_MAX)
    assert OrderId.parse(str(order)) == OrderId.parse(order.label) == ORDER_ID.from_json(str(order), "order") == order


@pytest.mark.parametrize("text", ["", "1/2", "1/2/3/4", "1/2/-3", "1/2/x", "1/2/²", "1/2/4294967296", f"{2**64}/0/0"])
def test_what_is_no_order_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="17/0/1"):
        OrderId.parse(text)
    with pytest.raises(CodecError, match="here"):
        ORDER_ID.from_json(text, "here")


def test_a_group_out_of_range_is_refused() -> None:
    assert GROUP_ID.from_json("3/1", "here") == GroupId(3, 1)
    with pytest.raises(CodecError, match="here"):
        GROUP_ID.from_json("3/4294967296", "here")
