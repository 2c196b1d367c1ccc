"""PostgreSQL: all of the platform's state but its files."""

from __future__ import annotations

import pulumi
from pulumi_aws import ec2, rds, vpc

from infrastructure.choices import Choices
from infrastructure.network import Network

PORT = 5432
NAME = "mlops"
OWNER = "mlops_owner"


def declare_database(choices: Choices, network: Network, clients: pulumi.Input[str]) -> rds.Instance:
    """One server with a stand-in in another zone. Only members of the security group `clients` reach it.

    RDS makes and rotates the owner's password and keeps it in Secrets Manager: the stack never knows it.
    """
    door = ec2.SecurityGroup(
        "database",
        vpc_id=network.vpc.id,
        description="PostgreSQL of the platform",
        # No way out: it answers, and asks nobody.
        tags={"Name": "mlops-database"},
    )
    vpc.SecurityGroupIngressRule(
        "database-from-nodes",
        security_group_id=door.id,
        referenced_security_group_id=clients,
        ip_protocol="tcp",
        from_port=PORT,
        to_port=PORT,
        description="pods of the cluster",
    )
    return rds.Instance(
        "mlops",
        identifier="mlops",
        engine="postgres",
        engine_version="17",
        instance_class=choices.database_class,
        db_name=NAME,
        port=PORT,
        username=OWNER,
        manage_master_user_password=True,
        db_subnet_group_name=rds.SubnetGroup("mlops", subnet_ids=[subnet.id for subnet in network.private]).name,
        vpc_security_group_ids=[door.id],
        publicly_accessible=False,
        multi_az=True,
        storage_type="gp3",
        allocated_storage=choices.database_storage,
        max_allocated_storage=choices.database_storage_most,
        storage_encrypted=True,
        parameter_group_name=_parameters().name,
        ca_cert_identifier="rds-ca-rsa2048-g1",
        backup_retention_period=choices.backup_days,
        backup_window="02:00-03:00",
        maintenance_window="sun:03:30-sun:04:30",
        auto_minor_version_upgrade=True,
        copy_tags_to_snapshot=True,
        deletion_protection=True,
        skip_final_snapshot=False,
        final_snapshot_identifier="mlops-final",
        delete_automated_backups=False,
        performance_insights_enabled=True,
        enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
        opts=pulumi.ResourceOptions(protect=True),
    )


def owner_secret(database: rds.Instance) -> pulumi.Output[str]:
    """ARN of the secret that RDS made for the owner."""
    return database.master_user_secrets.apply(lambda made: made[0].secret_arn or "")


def _parameters() -> rds.ParameterGroup:
    values = {
        # A connection without TLS is refused; clients check the certificate besides (sslmode=verify-full).
        "rds.force_ssl": "1",
        "password_encryption": "scram-sha-256",
        "log_min_duration_statement": "1000",
        # What a program forgot must not hold locks for ever.
        "idle_in_transaction_session_timeout": "600000",
    }
    return rds.ParameterGroup(
        "mlops", family="postgres17", parameters=[{"name": name, "value": value} for name, value in values.items()]
    )
