"""The network: private subnets over three zones, a way out, and none in but through load balancers.

Add what belongs to addresses and routes. Keep out who may talk to whom: that is said beside each server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, get_availability_zones, get_region

from infrastructure.choices import ZONES, Choices


@dataclass(frozen=True)
class Network:
    """`private` holds nodes and database, `public` only load balancers and the ways out."""

    vpc: ec2.Vpc
    private: Sequence[ec2.Subnet]
    public: Sequence[ec2.Subnet]


def declare_network(choices: Choices) -> Network:
    """A network of its own."""
    vpc = ec2.Vpc(
        "mlops",
        cidr_block=choices.network,
        enable_dns_hostnames=True,
        enable_dns_support=True,
        tags={"Name": "mlops"},
    )
    # Whoever forgets to name a security group gets this one, which lets nothing through.
    ec2.DefaultSecurityGroup("nothing", vpc_id=vpc.id, ingress=[], egress=[])
    zones = get_availability_zones(state="available").names[:ZONES]
    public = _subnets("public", vpc, zones, choices.subnets(first=0), "kubernetes.io/role/elb")
    private = _subnets("private", vpc, zones, choices.subnets(first=ZONES), "kubernetes.io/role/internal-elb")
    way_out = ec2.InternetGateway("mlops", vpc_id=vpc.id, tags={"Name": "mlops"})
    table = ec2.RouteTable("public", vpc_id=vpc.id, tags={"Name": "mlops-public"})
    ec2.Route("public", route_table_id=table.id, destination_cidr_block="0.0.0.0/0", gateway_id=way_out.id)
    for number, subnet in enumerate(public):
        ec2.RouteTableAssociation(f"public-{number}", route_table_id=table.id, subnet_id=subnet.id)
    tables = _private_routes(choices, vpc, public, private, way_out)
    # Models and data go by this way, which costs nothing and never leaves AWS.
    ec2.VpcEndpoint(
        "s3",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.{get_region().region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[each.id for each in tables],
        tags={"Name": "mlops-s3"},
    )
    return Network(vpc, private, public)


def _subnets(kind: str, vpc: ec2.Vpc, zones: Sequence[str], blocks: Sequence[str], role: str) -> list[ec2.Subnet]:
    return [
        ec2.Subnet(
            f"{kind}-{number}",
            vpc_id=vpc.id,
            cidr_block=block,
            availability_zone=zone,
            # Load balancers and ways out have addresses of their own; nothing else gets a public one.
            map_public_ip_on_launch=False,
            tags={"Name": f"mlops-{kind}-{zone}", role: "1"},
        )
        for number, (zone, block) in enumerate(zip(zones, blocks, strict=True))
    ]


def _private_routes(
    choices: Choices,
    vpc: ec2.Vpc,
    public: Sequence[ec2.Subnet],
    private: Sequence[ec2.Subnet],
    way_out: ec2.InternetGateway,
) -> list[ec2.RouteTable]:
    """A route table for each private subnet, through the way out of its own zone or the only one."""
    ways = []
    for number, subnet in enumerate(public if choices.nat_per_zone else public[:1]):
        address = ec2.Eip(f"nat-{number}", domain="vpc", tags={"Name": f"mlops-nat-{number}"})
        ways.append(
            ec2.NatGateway(
                f"nat-{number}",
                subnet_id=subnet.id,
                allocation_id=address.id,
                tags={"Name": f"mlops-{number}"},
                opts=pulumi.ResourceOptions(depends_on=[way_out]),
            )
        )
    tables = []
    for number, subnet in enumerate(private):
        table = ec2.RouteTable(f"private-{number}", vpc_id=vpc.id, tags={"Name": f"mlops-private-{number}"})
        ec2.Route(
            f"private-{number}",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            nat_gateway_id=ways[number % len(ways)].id,
        )
        ec2.RouteTableAssociation(f"private-{number}", route_table_id=table.id, subnet_id=subnet.id)
        tables.append(table)
    return tables
