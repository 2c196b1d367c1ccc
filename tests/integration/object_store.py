"""A real S3 server for tests: SeaweedFS, which lets in one made-up identity."""

from __future__ import annotations

import json
import secrets
import signal
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import free_port, process


@contextmanager
def running_object_store(
    folder: Path, address: str = "127.0.0.1", inside: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """Storage options of the server, which has the bucket `store`. `inside` starts it on another host."""
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    identity = {
        "name": "test", "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List"],
    }  # fmt: skip
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    port = free_port()
    ports = [f"-s3.port={port}", f"-s3.port.grpc={free_port()}"]
    for name in ("master", "volume", "filer"):
        ports += [f"-{name}.port={free_port()}", f"-{name}.port.grpc={free_port()}"]
    command = [
        *inside, str(Path(sysconfig.get_path("scripts")) / "weed"), "server", "-s3", f"-dir={folder}", f"-ip={address}",
        f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=20", "-s3.port.iceberg=0",
        "-s3.port.lance=0", *ports,
    ]  # fmt: skip
    options = {"endpoint_url": f"http://{address}:{port}", "key": key, "secret": secret}
    # It takes long to end by itself, and nobody needs what it holds.
    with process(command, folder / "weed.log", taking_files(options), {"HOME": str(folder)}, stop=signal.SIGKILL):
        yield options


def taking_files(options: dict[str, str]) -> Callable[[], bool]:
    """Asks whether the bucket is there and a file can be put into it."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3", endpoint_url=options["endpoint_url"], region_name="us-east-1", config=Config(retries={"max_attempts": 0}),
        aws_access_key_id=options["key"], aws_secret_access_key=options["secret"],
    )  # fmt: skip

    def asked() -> bool:
        try:
            with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket="store")
            client.put_object(Bucket="store", Key="probe", Body=b"1")
        except (BotoCoreError, ClientError):
            return False
        return True

    return asked
