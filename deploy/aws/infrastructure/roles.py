"""What each part's service account may do on AWS: no more than its work needs.

Add a right with the call that needs it. Keep out roles of AWS's own parts: those are in `cluster`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi_aws import eks, iam, s3

from infrastructure.choices import NAMESPACE, Choices
from infrastructure.cluster import pod_trust

Statement = dict[str, Any]


def declare_roles(
    choices: Choices, cluster: eks.Cluster, bucket: s3.Bucket, secrets: Sequence[pulumi.Output[str]]
) -> None:
    """Roles of orchestrator, serving, and of what brings secrets, named by ARN, into the cluster.

    The gateway needs none.
    """
    prefix = choices.storage_prefix
    _role(cluster, "orchestrator", NAMESPACE, bucket.arn.apply(lambda arn: orchestrator_rights(arn, prefix)))
    _role(cluster, "serving", NAMESPACE, bucket.arn.apply(lambda arn: serving_rights(arn, prefix)))
    _role(cluster, "external-secrets", "external-secrets", pulumi.Output.all(*secrets).apply(secrets_rights))


def orchestrator_rights(bucket: str, prefix: str) -> list[Statement]:
    """Everything below its prefix, nothing about the bucket itself; old versions of files are out of its reach."""
    return [
        _allow("s3:ListBucket", on=bucket, when={"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}),
        _allow("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", on=f"{bucket}/{prefix}/*"),
    ]


def serving_rights(bucket: str, prefix: str) -> list[Statement]:
    """Releases, to read. The star is the product: its releases lie in <prefix>/<product>/releases."""
    return [
        _allow("s3:ListBucket", on=bucket, when={"StringLike": {"s3:prefix": [f"{prefix}/*/releases/*"]}}),
        _allow("s3:GetObject", on=f"{bucket}/{prefix}/*/releases/*"),
    ]


def secrets_rights(arns: Sequence[str]) -> list[Statement]:
    """These secrets, to read."""
    return [_allow("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret", on=list(arns))]


def _role(cluster: eks.Cluster, account: str, namespace: str, rights: pulumi.Output[list[Statement]]) -> None:
    role = iam.Role(account, assume_role_policy=pod_trust())
    document = rights.apply(lambda given: json.dumps({"Version": "2012-10-17", "Statement": given}))
    iam.RolePolicy(account, role=role.name, policy=document)
    eks.PodIdentityAssociation(
        account, cluster_name=cluster.name, namespace=namespace, service_account=account, role_arn=role.arn
    )


def _allow(*actions: str, on: str | list[str], when: Statement | None = None) -> Statement:
    statement: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": on}
    return statement | ({"Condition": when} if when else {})
