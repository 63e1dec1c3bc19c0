"""How many networks an engine can still make."""

from __future__ import annotations

from typing import Any

import pytest

from live.address_pools import NetworksLeft, networks_left


def network(*subnets: str) -> dict[str, Any]:
    """A network as the engine lists it."""
    return {"Name": "n", "IPAM": {"Config": [{"Subnet": subnet} for subnet in subnets]}}


BRIDGE = network("172.17.0.0/16")
TWO_POOLS = {"DefaultAddressPools": [{"Base": "10.10.0.0/16", "Size": 24}, {"Base": "10.20.0.0/24", "Size": 26}]}


@pytest.mark.parametrize(
    ("info", "networks", "expected"),
    [
        # A fresh engine: 31 subnets, of which the default bridge has one (moby#29239).
        ({}, [BRIDGE, {"Name": "host", "IPAM": {"Config": []}}], NetworksLeft(31, 30)),
        ({}, [BRIDGE, network("172.18.0.0/16"), network("192.168.0.0/20")], NetworksLeft(31, 28)),
        # A subnet of one's own choice takes none, or all that it overlaps.
        ({}, [BRIDGE, network("10.0.0.0/24")], NetworksLeft(31, 30)),
        ({}, [BRIDGE, network("172.18.4.0/24")], NetworksLeft(31, 29)),
        ({}, [BRIDGE, network("192.168.0.0/16")], NetworksLeft(31, 14)),
        ({}, [BRIDGE, network("172.18.0.0/16", "fd00::/64")], NetworksLeft(31, 29)),
        # Pools of the administrator's choice.
        (TWO_POOLS, [BRIDGE, network("10.20.0.64/26")], NetworksLeft(260, 259)),
        ({"DefaultAddressPools": None}, [], NetworksLeft(31, 31)),
        # Podman's own pools: its first network of a user's is 10.89.0.0/24 (measured, 4.3.1).
        ({"BuildahVersion": "1.28.2"}, [network("10.88.0.0/16")], NetworksLeft(42_752, 42_752)),
        (
            {"BuildahVersion": "1.28.2"},
            [network("10.88.0.0/16"), network("10.89.0.0/24")],
            NetworksLeft(42_752, 42_751),
        ),
    ],
)
def test_free_subnets_are_counted(info: dict[str, Any], networks: list[dict[str, Any]], expected: NetworksLeft) -> None:
    """The subnets of the pools, less those that a network lies on."""
    assert expected == networks_left(info, networks)
