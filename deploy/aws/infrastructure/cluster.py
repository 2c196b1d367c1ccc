"""The Kubernetes cluster: its servers in AWS's hands, its nodes in private subnets."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, eks, iam, kms

from infrastructure.choices import Choices
from infrastructure.network import Network

NAME = "mlops"
POLICIES = "arn:aws:iam::aws:policy"
# What a node does for its pods and nothing else: join, pull images, give pods addresses.
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
ADMINISTRATOR = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
# Without the first one's setting the cluster takes network policies and ignores them.
ADDONS: dict[str, dict[str, str]] = {
    "vpc-cni": {"enableNetworkPolicy": "true"},
    "kube-proxy": {},
    "coredns": {},
    "eks-pod-identity-agent": {},
    "metrics-server": {},
}


@dataclass(frozen=True)
class Cluster:
    """`members` is the security group that every node and the API server's ends are in."""

    cluster: eks.Cluster
    nodes: eks.NodeGroup
    members: pulumi.Output[str]


def declare_cluster(choices: Choices, network: Network) -> Cluster:
    """A cluster whose API is private unless networks are named, with secrets encrypted by a key of the account's."""
    key = kms.Key(
        "cluster-secrets",
        description="Secrets of the cluster mlops",
        enable_key_rotation=True,
        deletion_window_in_days=30,
    )
    role = iam.Role("cluster", assume_role_policy=_trust("eks.amazonaws.com"))
    attached = iam.RolePolicyAttachment("cluster", role=role.name, policy_arn=f"{POLICIES}/AmazonEKSClusterPolicy")
    cluster = eks.Cluster(
        "mlops",
        name=NAME,
        version=choices.kubernetes_version,
        role_arn=role.arn,
        vpc_config=eks.ClusterVpcConfigArgs(
            subnet_ids=[subnet.id for subnet in network.private],
            endpoint_private_access=True,
            endpoint_public_access=bool(choices.api_networks),
            public_access_cidrs=list(choices.api_networks) or None,
        ),
        # Who may do what is said by access entries alone; the stack's own role gets nothing by having made it.
        access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False},
        encryption_config={"provider": {"key_arn": key.arn}, "resources": ["secrets"]},
        enabled_cluster_log_types=["api", "audit", "authenticator"],
        deletion_protection=True,
        opts=pulumi.ResourceOptions(depends_on=[attached], protect=True),
    )
    nodes = _nodes(choices, network, cluster)
    for name, configuration in ADDONS.items():
        eks.Addon(
            name,
            cluster_name=cluster.name,
            addon_name=name,
            configuration_values=json.dumps(configuration) if configuration else None,
            resolve_conflicts_on_update="PRESERVE",
            # The first two are what nodes need to come up; the others need nodes to run on.
            opts=pulumi.ResourceOptions(depends_on=[] if name in ("vpc-cni", "kube-proxy") else [nodes]),
        )
    _volumes(cluster, nodes)
    for number, principal in enumerate(choices.administrators):
        entry = eks.AccessEntry(f"administrator-{number}", cluster_name=cluster.name, principal_arn=principal)
        eks.AccessPolicyAssociation(
            f"administrator-{number}",
            cluster_name=cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn=ADMINISTRATOR,
            access_scope={"type": "cluster"},
        )
    return Cluster(cluster, nodes, cluster.vpc_config.cluster_security_group_id)


def pod_trust() -> str:
    """Who may take a role that is given to a service account: the cluster's agent, in the name of a pod."""
    return _trust("pods.eks.amazonaws.com", "sts:TagSession")


def _nodes(choices: Choices, network: Network, cluster: eks.Cluster) -> eks.NodeGroup:
    role = iam.Role("nodes", assume_role_policy=_trust("ec2.amazonaws.com"))
    attached = [
        iam.RolePolicyAttachment(f"nodes-{name}", role=role.name, policy_arn=f"{POLICIES}/{name}")
        for name in NODE_POLICIES
    ]
    template = ec2.LaunchTemplate(
        "nodes",
        # A pod is one hop further than its node: what asks for the node's own role from inside gets no answer.
        metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1, "http_endpoint": "enabled"},
        block_device_mappings=[
            {
                "device_name": "/dev/xvda",
                "ebs": {"volume_size": 100, "volume_type": "gp3", "encrypted": "true", "delete_on_termination": "true"},
            }
        ],
        update_default_version=True,
    )
    return eks.NodeGroup(
        "nodes",
        cluster_name=cluster.name,
        node_role_arn=role.arn,
        subnet_ids=[subnet.id for subnet in network.private],
        instance_types=[choices.node_type],
        ami_type="AL2023_x86_64_STANDARD",
        launch_template={"id": template.id, "version": template.latest_version.apply(str)},
        scaling_config={
            "min_size": choices.nodes_least,
            "desired_size": choices.nodes_least,
            "max_size": choices.nodes_most,
        },
        update_config={"max_unavailable": 1},
        # How many there are is the cluster autoscaler's or a person's decision after the start.
        opts=pulumi.ResourceOptions(depends_on=attached, ignore_changes=["scalingConfig.desiredSize"]),
    )


def _volumes(cluster: eks.Cluster, nodes: eks.NodeGroup) -> None:
    """The driver of volumes, which makes and attaches disks with a role of its own."""
    role = iam.Role("volumes", assume_role_policy=pod_trust())
    iam.RolePolicyAttachment("volumes", role=role.name, policy_arn=f"{POLICIES}/service-role/AmazonEBSCSIDriverPolicy")
    eks.Addon(
        "aws-ebs-csi-driver",
        cluster_name=cluster.name,
        addon_name="aws-ebs-csi-driver",
        pod_identity_associations=[{"role_arn": role.arn, "service_account": "ebs-csi-controller-sa"}],
        opts=pulumi.ResourceOptions(depends_on=[nodes]),
    )


def _trust(service: str, *more: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole", *more]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
