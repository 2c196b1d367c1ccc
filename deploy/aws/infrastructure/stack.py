"""The whole, put together."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr, rds, s3

from infrastructure.choices import Choices
from infrastructure.cluster import Cluster, declare_cluster
from infrastructure.database import declare_database, owner_secret
from infrastructure.network import declare_network
from infrastructure.registry import declare_registry
from infrastructure.roles import declare_roles
from infrastructure.secrets import declare_secrets
from infrastructure.storage import declare_bucket


@dataclass(frozen=True)
class Declared:
    """What others need the names of."""

    choices: Choices
    cluster: Cluster
    database: rds.Instance
    bucket: s3.Bucket
    registry: dict[str, ecr.Repository]

    def outputs(self) -> dict[str, pulumi.Input[str]]:
        """Names and addresses, for deploy/k8s/overlays/aws; the owner's secret by its ARN alone."""
        images = {f"image_{name}": repository.repository_url for name, repository in self.registry.items()}
        return {
            "cluster": self.cluster.cluster.name,
            "storage_url": pulumi.Output.concat("s3://", self.bucket.bucket, "/", self.choices.storage_prefix),
            "database_endpoint": self.database.endpoint,
            "database_owner_secret": owner_secret(self.database),
            **images,
        }


def declare(choices: Choices) -> Declared:
    """Everything, in the order in which one thing needs another."""
    network = declare_network(choices)
    cluster = declare_cluster(choices, network)
    bucket = declare_bucket()
    database = declare_database(choices, network, clients=cluster.members)
    declare_roles(choices, cluster.cluster, bucket, [secret.arn for secret in declare_secrets(database)])
    return Declared(choices, cluster, database, bucket, declare_registry())
