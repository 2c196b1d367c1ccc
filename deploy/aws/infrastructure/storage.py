"""The bucket of data sets, models, exports and reports."""

from __future__ import annotations

import json

import pulumi
from pulumi_aws import get_caller_identity, get_region, s3


def declare_bucket() -> s3.Bucket:
    """Versioned, encrypted, for nobody outside the account and for no connection without TLS."""
    name = f"mlops-{get_caller_identity().account_id}-{get_region().region}"
    bucket = s3.Bucket("mlops", bucket=name, opts=pulumi.ResourceOptions(protect=True))
    s3.BucketOwnershipControls("mlops", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"})
    closed = s3.BucketPublicAccessBlock(
        "mlops",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    versioning = s3.BucketVersioning("mlops", bucket=bucket.id, versioning_configuration={"status": "Enabled"})
    s3.BucketServerSideEncryptionConfiguration(
        "mlops",
        bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
    )
    s3.BucketPolicy(
        "mlops",
        bucket=bucket.id,
        policy=bucket.arn.apply(_only_with_tls),
        opts=pulumi.ResourceOptions(depends_on=[closed]),
    )
    # The platform deletes what it no longer needs; what it replaced or deleted by mistake stays for a while.
    s3.BucketLifecycleConfiguration(
        "mlops",
        bucket=bucket.id,
        rules=[
            {
                "id": "replaced-versions",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "noncurrent_version_expiration": {"noncurrent_days": 90},
                "expiration": {"expired_object_delete_marker": True},
            },
            {
                "id": "uploads-that-never-ended",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
            },
        ],
        opts=pulumi.ResourceOptions(depends_on=[versioning]),
    )
    return bucket


def _only_with_tls(bucket: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "OnlyWithTls",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket, f"{bucket}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
    )
