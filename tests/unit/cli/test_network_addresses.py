"""The addresses that ``network create`` is given."""

import pytest

from moorage.api.networks import IPAMConfig
from moorage.cli.networks import AddressFlagError, address_pools

LEFT, RIGHT = "10.1.0.0/16", "10.2.0.0/16"


def test_each_address_goes_to_the_subnet_that_it_lies_in() -> None:
    pools = address_pools(
        [LEFT, RIGHT], ranges=["10.2.3.0/24"], gateways=["10.2.0.1", "10.1.0.1"], auxiliary={"a": "10.2.0.9"}
    )
    assert pools == [
        IPAMConfig(subnet=LEFT, gateway="10.1.0.1"),
        IPAMConfig(subnet=RIGHT, gateway="10.2.0.1", ip_range="10.2.3.0/24", auxiliary_addresses={"a": "10.2.0.9"}),
    ]


@pytest.mark.parametrize(
    ("subnets", "ranges", "gateways", "auxiliary", "said"),
    [
        ([], ["10.1.0.0/24"], [], {}, "every ip-range or gateway must have a corresponding subnet"),
        ([], [], ["10.1.0.1"], {}, "every ip-range or gateway must have a corresponding subnet"),
        ([], [], [], {"a": "10.1.0.1"}, "no matching subnet for aux-address 10.1.0.1"),
        ([LEFT], [], ["10.2.0.1"], {}, "no matching subnet for gateway 10.2.0.1"),
        ([LEFT], ["10.2.0.0/24"], [], {}, "no matching subnet for range 10.2.0.0/24"),
        ([LEFT], ["bogus"], [], {}, "invalid CIDR address: bogus"),
        (["bogus"], [], ["10.1.0.1"], {}, "invalid subnet: invalid CIDR address: bogus"),
        (
            [LEFT, RIGHT], [], ["10.1.0.1", "10.1.0.2"], {},
            f"cannot configure multiple gateways (10.1.0.2, 10.1.0.1) for the same subnet ({LEFT})",
        ),
    ],
)  # fmt: skip
def test_addresses_that_lie_nowhere_are_refused(
    subnets: list[str], ranges: list[str], gateways: list[str], auxiliary: dict[str, str], said: str
) -> None:
    with pytest.raises(AddressFlagError) as error:
        address_pools(subnets, ranges=ranges, gateways=gateways, auxiliary=auxiliary)
    assert str(error.value) == said
