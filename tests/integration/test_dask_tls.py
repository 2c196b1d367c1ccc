"""A cluster behind TLS: whoever has no certificate of its authority is let neither in nor on."""

from __future__ import annotations

import datetime
from pathlib import Path

import dask
import distributed  # noqa: F401 (its settings are there before the tests set some)
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlops_assets.compute.cluster import ClusterError, workers_of
from tests.integration.dask_cluster import running_scheduler, running_worker

ROLES = ("CLIENT", "SCHEDULER", "WORKER")


def authority(folder: Path, name: str) -> dict[str, str]:
    """A certificate that is its own authority, with its key, as Dask's settings take them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*plain))
    shared = {"CA_FILE": str(certificate)}
    return shared | {f"{r}__{k}": str(p) for r in ROLES for k, p in (("CERT", certificate), ("KEY", private))}


def as_variables(tls: dict[str, str]) -> dict[str, str]:
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": value for name, value in tls.items()}


def as_config(tls: dict[str, str]) -> dict[str, str]:
    return {f"distributed.comm.tls.{name.lower().replace('_', '-').replace('--', '.')}": v for name, v in tls.items()}


def test_only_who_has_a_certificate_is_answered(tmp_path: Path) -> None:
    ours, strange = authority(tmp_path, "ours"), authority(tmp_path, "strange")
    environment = as_variables(ours)
    with (
        running_scheduler(tmp_path, environment, "tls") as address,
        running_worker(address, tmp_path, environment),
    ):
        with dask.config.set(as_config(ours)):
            assert len(workers_of(address)) == 1
        for others in ({}, as_config(strange)):
            with dask.config.set(others), pytest.raises(ClusterError, match=f"MLOPS_DASK_ADDRESS={address}"):
                workers_of(address, seconds=1)
        with pytest.raises(ClusterError, match="MLOPS_DASK_ADDRESS"):
            workers_of(address.replace("tls:", "tcp:"), seconds=1)
