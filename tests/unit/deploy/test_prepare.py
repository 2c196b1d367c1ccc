"""What the hosts of the stack share is made once: a certificate that is believed for one name, a token, no key left."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from mlops_assets.api.alerts import SHORTEST_TOKEN, TOKEN_FILE
from mlops_assets.settings import PROJECT

SCRIPT = PROJECT / "deploy" / "compose" / "prepare.sh"
FOLDERS = ("certificate", "authority", "secrets", "alerts", "store", "roles")


def prepare(root: Path) -> dict[str, bytes]:
    """Run the script on folders of our own; every file that there is then."""
    me = f"{os.getuid()}:{os.getgid()}"
    environment = {"PATH": os.environ["PATH"], "PLATFORM_OWNER": me, "POSTGRES_OWNER": me, "TMPDIR": str(root)}
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True)
        environment[f"{name.upper()}_FOLDER"] = str(root / name)
    subprocess.run(["sh", str(SCRIPT)], env=environment, check=True, capture_output=True, timeout=50)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    prepare(root)
    return root


def greeted(root: Path, name: str) -> None:
    """A server with the certificate greets a client that believes the authority and asks for `name`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(root / "certificate/server.crt", root / "certificate/server.key")
    client = ssl.create_default_context(cafile=root / "authority/ca.crt")
    left, right = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(left, server_side=True).close()
        except OSError:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(right, server_hostname=name).close()
    finally:
        right.close()
        thread.join()


def test_the_certificate_is_believed_for_the_database_and_nobody_else(prepared: Path) -> None:
    greeted(prepared, "postgres")
    with pytest.raises(ssl.SSLCertVerificationError, match="postgres2"):
        greeted(prepared, "postgres2")


def test_no_key_of_the_authority_is_left(prepared: Path) -> None:
    keys = [path.name for path in prepared.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert keys == ["server.key"]


def test_only_its_owner_reads_a_secret(prepared: Path) -> None:
    for name in ("certificate/server.key", f"secrets/{TOKEN_FILE}"):
        assert not (prepared / name).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    assert (prepared / "authority/ca.crt").stat().st_mode & stat.S_IROTH


def test_alertmanager_has_the_token_that_the_control_api_reads(prepared: Path) -> None:
    token = (prepared / "alerts/token").read_bytes()
    assert token == (prepared / "secrets" / TOKEN_FILE).read_bytes()
    assert len(token.strip()) >= SHORTEST_TOKEN


def test_again_it_changes_nothing(prepared: Path) -> None:
    before = {str(path.relative_to(prepared)): path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    assert prepare(prepared) == before


def test_a_certificate_of_another_authority_is_made_anew(tmp_path: Path, prepared: Path) -> None:
    first = prepare(tmp_path)
    (tmp_path / "authority/ca.crt").write_bytes((prepared / "authority/ca.crt").read_bytes())
    again = prepare(tmp_path)
    assert again["certificate/server.crt"] != first["certificate/server.crt"]
    assert again[f"secrets/{TOKEN_FILE}"] == first[f"secrets/{TOKEN_FILE}"]
    greeted(tmp_path, "postgres")
