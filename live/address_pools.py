"""How many user networks an engine can still make: its address pools, cut into subnets, less those in use.

Docker's default pools are 172.17.0.0/16 to 172.31.0.0/16 as they are, and 192.168.0.0/16 in pieces of /20:
31 networks, of which the default bridge takes one (moby#29239). A network with a subnet of its own choice takes
from them only what it overlaps. Podman has pools of its own, in pieces of /24 (containers.conf(5),
`default_subnet_pools`), and does not tell where they were changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from live.engine_place import product


@dataclass(frozen=True, slots=True)
class Pool:
    """A range of addresses that the engine cuts into subnets of one size, given in bits of prefix."""

    addresses: IPv4Network
    prefix_bits_count: int

    def subnets(self) -> list[IPv4Network]:
        """The subnets that can be cut from it."""
        return list(self.addresses.subnets(new_prefix=self.prefix_bits_count))


DEFAULT_POOLS = (
    *(Pool(IPv4Network(f"172.{number}.0.0/16"), 16) for number in range(17, 32)),
    Pool(IPv4Network("192.168.0.0/16"), 20),
)
PODMAN_POOLS = tuple(
    Pool(IPv4Network(addresses), 24)
    for addresses in ("10.89.0.0/16", "10.90.0.0/15", "10.92.0.0/14", "10.96.0.0/11", "10.128.0.0/9")
)


@dataclass(frozen=True, slots=True)
class NetworksLeft:
    """The subnets of the engine's pools: how many there are, and how many are free."""

    all_count: int
    free_count: int


def networks_left(info: dict[str, Any], networks: list[dict[str, Any]]) -> NetworksLeft:
    """Count the subnets, from what the engine says of itself and of its networks."""
    pools = _pools(info)
    subnets = [subnet for pool in pools for subnet in pool.subnets()]
    used = [subnet for network in networks for subnet in _subnets_of(network)]
    free = [subnet for subnet in subnets if not any(subnet.overlaps(taken) for taken in used)]
    return NetworksLeft(len(subnets), len(free))


def _pools(info: dict[str, Any]) -> tuple[Pool, ...]:
    told = [(ip_network(pool["Base"]), int(pool["Size"])) for pool in info.get("DefaultAddressPools") or ()]
    pools = tuple(Pool(base, size) for base, size in told if isinstance(base, IPv4Network))
    return pools or (PODMAN_POOLS if product(info) == "Podman" else DEFAULT_POOLS)


def _subnets_of(network: dict[str, Any]) -> list[IPv4Network]:
    configured = (network.get("IPAM") or {}).get("Config") or ()
    subnets = [ip_network(entry["Subnet"], strict=False) for entry in configured if entry.get("Subnet")]
    return [subnet for subnet in subnets if isinstance(subnet, IPv4Network)]
