"""Parts of the Compose file as they run: the store by its own command line, scripts on a real database, the files that
Prometheus and Alertmanager read in their own eyes. Containers, networks and volumes need an engine.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from mlops_assets.installation.postgres import binaries
from mlops_assets.settings import PROJECT
from tests.servers import child_environment, free_port, process
from tests.unit.deploy.stack import services

DEPLOY = PROJECT / "deploy"
CONTAINER = "127.0.0.2"  # what stands for the container's own address; its loopback is 127.0.0.1


def store_command(folder: Path, port: int) -> list[str]:
    """The command line of the service `s3`, its folder and ports moved to where this test may have them."""
    moved = {
        "-dir=/data": f"-dir={folder}",
        "-s3.ip.bind=0.0.0.0": f"-s3.ip.bind={CONTAINER}",
        "-s3.port=8333": f"-s3.port={port}",
    }
    options = services()["s3"]["command"]
    assert moved.keys() <= set(options)
    ports = [f"-s3.port.grpc={free_port()}"]
    for name in ("master", "volume", "filer"):
        ports += [f"-{name}.port={free_port()}", f"-{name}.port.grpc={free_port()}"]
    program = str(Path(sysconfig.get_path("scripts")) / "weed")
    return [program, *(moved.get(option, option) for option in options), *ports]


def test_the_store_takes_files_from_who_has_its_key_and_shows_nothing_else(tmp_path: Path) -> None:
    (folder := tmp_path / "store").mkdir()
    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "ab" * 24, "AWS_SECRET_ACCESS_KEY": "cd" * 24}
    bucket = services()["bucket"]
    endpoint = f"http://{CONTAINER}:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{endpoint}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    command = store_command(folder, port)
    # It takes long to end by itself, and nobody needs what it holds.
    with process(command, tmp_path / "store.log", ready, {"HOME": str(tmp_path), **keys}, stop=signal.SIGKILL):
        asking = child_environment({**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"})
        for _ in range(2):
            subprocess.run(
                [sys.executable, *bucket["entrypoint"][1:], *bucket["command"]], env=asking, check=True, timeout=60
            )
        put = "import s3fs; s3fs.S3FileSystem().pipe('mlops/platform/x', b'1')"
        subprocess.run([sys.executable, "-c", put], env=asking, check=True, timeout=60)
        assert httpx.get(f"{endpoint}/mlops/platform/x", timeout=5).status_code == 403
        others = [
            option.rpartition("=")[2] for option in command if option.startswith(("-filer.port=", "-master.port="))
        ]
        for other in others:
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://{CONTAINER}:{other}/", timeout=5)


def login(url: str) -> dict[str, str]:
    """PG* for psql, as the service `roles` is given them."""
    parts = make_url(url)
    host = str(parts.query.get("host") or parts.host)
    return {"PGHOST": host, "PGDATABASE": str(parts.database), "PGUSER": str(parts.username)}


def test_roles_get_their_rights_and_their_own_passwords(postgres_url: str, database: object, tmp_path: Path) -> None:
    granted = tmp_path / "roles.sql"
    names = services()["roles"]["command"][1:]
    granted.write_text("".join(f'DROP ROLE IF EXISTS "{name}"; CREATE ROLE "{name}";\n' for name in names))
    environment = login(postgres_url) | {f"PASSWORD_{name}": f"p'{name}\\" for name in names}
    environment["PATH"] = f"{binaries()}{os.pathsep}{os.environ['PATH']}"
    script = ["sh", str(DEPLOY / "compose/roles.sh"), str(granted), *names]
    subprocess.run(script, env=environment, check=True, timeout=60)
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        asked = "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname = ANY(:names)"
        rows = connection.execute(text(asked), {"names": names}).all()
    assert {row.rolname for row in rows} == set(names)
    assert all(row.rolcanlogin and row.rolpassword.startswith("SCRAM-SHA-256$") for row in rows)
    assert len({row.rolpassword for row in rows}) == len(names)
    with engine.begin() as connection:
        for name in names:
            connection.execute(text(f'DROP ROLE "{name}"'))
    engine.dispose()


def test_a_role_without_a_password_stops_it(postgres_url: str, database: object, tmp_path: Path) -> None:
    (nothing := tmp_path / "none.sql").write_text("SELECT 1;")
    environment = login(postgres_url) | {"PATH": f"{binaries()}{os.pathsep}{os.environ['PATH']}"}
    script = ["sh", str(DEPLOY / "compose/roles.sh"), str(nothing), "postgres"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "password" in done.stderr


def test_prometheus_and_alertmanager_take_their_files(tmp_path: Path) -> None:
    """As they are mounted, one folder with the rules in it."""
    for volume in services()["prometheus"]["volumes"]:
        source, place, *_ = volume.split(":")
        if source.startswith("."):
            target = tmp_path / Path(place).name
            copy = shutil.copytree if (DEPLOY / source).is_dir() else shutil.copyfile
            copy(DEPLOY / source, target)
    said = checked("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert said.count("SUCCESS") > 2
    assert "FAILED" not in said
    assert "SUCCESS" in checked("amtool", "check-config", str(DEPLOY / "compose/alertmanager.yml"))


def checked(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
