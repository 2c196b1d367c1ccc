"""What nobody should know by heart: generated once, kept in Secrets Manager, told to no output.

The stack's state holds what it generated, encrypted by the stack's own secrets provider. The database owner's password
isn't here: RDS makes that one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import pulumi
from pulumi_aws import rds, secretsmanager
from pulumi_random import RandomPassword

# Names of the secrets in the cluster, and the roles of the database that their URLs sign in as.
DATABASE_ROLES = {"database-orchestrator": "mlops_orchestrator", "database-serving": "mlops_serving"}
TOKENS = ("key", "operator_token", "inner_token")
CERTIFICATES = "/etc/mlops/database-ca/ca.pem"


def declare_secrets(database: rds.Instance) -> list[secretsmanager.Secret]:
    """`mlops/shared-tokens` and, for each role of the database, `mlops/<name>` with its password and whole URL."""
    tokens = {name: _password(name).result for name in TOKENS}
    kept = [_secret("shared-tokens", pulumi.Output.json_dumps(tokens))]
    for name, role in DATABASE_ROLES.items():
        told = pulumi.Output.all(_password(name).result, database.endpoint, database.db_name)
        kept.append(_secret(name, told.apply(partial(_connection, role))))
    return kept


def _connection(role: str, parts: Sequence[str]) -> str:
    password, endpoint, database = parts
    url = f"postgresql+psycopg2://{role}:{password}@{endpoint}/{database}"
    return json.dumps(
        {"username": role, "password": password, "url": f"{url}?sslmode=verify-full&sslrootcert={CERTIFICATES}"}
    )


def _password(name: str) -> RandomPassword:
    # Letters and digits: they mean the same in a URL, in SQL and in a shell.
    return RandomPassword(name, length=64, special=False)


def _secret(name: str, value: pulumi.Output[str]) -> secretsmanager.Secret:
    secret = secretsmanager.Secret(name, name=f"mlops/{name}", recovery_window_in_days=30)
    hidden: pulumi.Output[str] = pulumi.Output.secret(value)
    secretsmanager.SecretVersion(name, secret_id=secret.id, secret_string=hidden)
    return secret
