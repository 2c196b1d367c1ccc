"""The Compose file: of the specification's schema, complete, closed to the outside, and naming only what there is."""

from __future__ import annotations

import re
import stat
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from mlops_assets.observability.grafana.boards import BOARDS
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage import rights
from mlops_assets.training.catalogue import declared_products
from tests.unit.deploy.commands import programs_refused
from tests.unit.deploy.stack import (
    COMPOSE,
    EXAMPLE,
    Service,
    UnsetError,
    instructions,
    interpolated,
    optional,
    ours,
    required,
    schema_errors,
    services,
    stack,
    version,
)

DEPLOY = PROJECT / "deploy"
SETTINGS = Settings(_env_file=None)
# Ports of other people's programs, inside a container.
THEIRS = {"postgres": {5432}, "s3": {8333}, "grafana": {3000}, "dask-scheduler": {8786}}
# Grafana's own port is Dagster's here.
PUBLISHED = {3001}
# What does its work and ends.
ONCE = {"prepare", "bucket", "rights", "roles", "migrate", "grafana-login"}
# Variables of images' own, of Grafana's provisioning, and of a script of ours.
OTHER_VARIABLES = re.compile(r"AWS_|PG|POSTGRES_|GF_|MLOPS_GRAFANA_|PASSWORD_")
ADDRESS = re.compile(r"(?:https?|tcp|postgresql\+psycopg2)://\S+")


@pytest.fixture(params=sorted(services()))
def service(request: pytest.FixtureRequest) -> tuple[str, Service]:
    return request.param, services()[request.param]


@cache
def our_ports() -> dict[str, set[int]]:
    """Ports that each part of the platform listens on for others."""
    ports = SETTINGS.ports
    slots = [product.serving.slot for product in declared_products() if product.serving]
    return {
        "orchestrator": {ports.api_server, ports.dagster, ports.mlflow, ports.metrics},
        "serving": {port for slot in slots for port in (ports.production(slot), ports.candidate(slot))},
        "gateway": {ports.gateway, ports.api, ports.gateway_metrics},
        "prometheus": {ports.prometheus},
        "alertmanager": {ports.alertmanager},
    }


def test_it_is_of_the_specifications_schema() -> None:
    assert not schema_errors("compose-spec", yaml.safe_load(COMPOSE.read_text()))


def test_the_schema_finds_a_mistake() -> None:
    wrong = COMPOSE.read_text().replace("stop_grace_period:", "stop_grace:")
    assert "stop_grace" in " ".join(schema_errors("compose-spec", yaml.safe_load(wrong)))


def test_every_required_variable_stops_it_by_name() -> None:
    values = {name: "x" for name in required()}
    for name in required():
        with pytest.raises(UnsetError, match=f"{name}: see deploy/compose.env.example"):
            interpolated(COMPOSE.read_text(), values | {name: ""})


def test_no_password_has_a_default() -> None:
    secret = {name for name in required() | optional() if re.search("PASSWORD|KEY|TOKEN|SECRET", name)}
    assert secret <= required()
    written = [
        f"{name}: {key}"
        for name, service in services(**{n: "«given»" for n in required()}).items()
        for key, value in service.get("environment", {}).items()
        if re.search("PASSWORD|SECRET_ACCESS_KEY|ACCESS_KEY_ID", key) and value != "«given»"
    ]
    assert not written


def test_the_example_names_every_variable_and_no_other() -> None:
    named = set(re.findall(r"(?m)^#?([A-Z0-9_]+)=", EXAMPLE.read_text()))
    assert named == required() | optional()
    asked = set(re.findall(r"(?m)^([A-Z0-9_]+)=$", EXAMPLE.read_text()))
    assert asked == required(), "what has a default is left out by a #, what is required is blank"


def test_the_environment_is_made_with_a_password_for_each() -> None:
    made, again = (environment() for _ in range(2))
    assert set(made) == required()
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made.values())
    assert len({*made.values(), *again.values()}) == 2 * len(required())
    stack(**made)


def environment() -> dict[str, str]:
    done = subprocess.run(
        ["sh", str(DEPLOY / "compose/environment.sh")], capture_output=True, text=True, timeout=20, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_images_are_pinned_by_digest_or_built_here_at_the_projects_version(service: tuple[str, Service]) -> None:
    name, one = service
    if "build" not in one:
        assert re.fullmatch(r"[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}", one["image"]), name
        return
    target = one["build"]["target"]
    assert one["image"] == f"mlops-{target}:{version()}"
    assert (COMPOSE.parent / one["build"]["context"]).resolve() == PROJECT
    stages = re.findall(r"(?m)^FROM \S+ AS (\S+)$", (PROJECT / one["build"]["dockerfile"]).read_text())
    assert target in stages


def test_a_service_holds_no_more_rights_than_it_needs(service: tuple[str, Service]) -> None:
    name, one = service
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in one
    # One gives volumes away, and is on no network while it does.
    assert set(one.get("cap_add", ())) <= ({"CHOWN", "DAC_OVERRIDE", "FOWNER"} if name == "prepare" else set())
    assert name != "prepare" or one["network_mode"] == "none"
    # The images' own users are not root; where PostgreSQL's is, another one is told.
    assert str(one.get("user", "10001")).split(":")[0] != "0" or name == "prepare"
    assert not [volume for volume in one.get("volumes", ()) if "docker.sock" in volume]


def test_a_service_is_limited_in_cpu_memory_and_processes(service: tuple[str, Service]) -> None:
    name, one = service
    limits = one["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0, name
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert limits["pids"] > 0
    assert one["logging"]["options"]["max-size"]


def test_a_service_that_stays_is_asked_how_it_is(service: tuple[str, Service]) -> None:
    name, one = service
    if name in ONCE:
        assert one["restart"] == "no"
        assert one.get("healthcheck", {"disable": True}) == {"disable": True}
    elif name == "dask-worker":
        assert one["healthcheck"] == {"disable": True}, "it ends by itself when its scheduler is gone"
    else:
        assert one["restart"] == "unless-stopped"
        assert one["healthcheck"]["test"][0] == "CMD"
        assert {"interval", "timeout", "retries", "start_period"} <= one["healthcheck"].keys()


def test_the_platform_has_time_to_stop(service: tuple[str, Service]) -> None:
    name, one = service
    if "build" in one and name not in ONCE:
        assert int(one["stop_grace_period"].removesuffix("s")) > 60


def test_what_is_waited_for_can_come_true(service: tuple[str, Service]) -> None:
    name, one = service
    everything = services()
    for other, wait in one.get("depends_on", {}).items():
        target = everything[other]
        if wait["condition"] == "service_healthy":
            assert "test" in target["healthcheck"], f"{name} waits for the health of {other}, which has no check"
        if wait["condition"] == "service_completed_successfully":
            assert target["restart"] == "no", f"{name} waits for the end of {other}, which never ends"
        profiles = set(target.get("profiles", ()))
        assert not profiles or set(one.get("profiles", ())) & profiles, f"{other} isn't started with {name}"


def test_nobody_waits_for_who_waits_for_him() -> None:
    waits = {name: set(one.get("depends_on", ())) for name, one in services().items()}
    while free := {name for name, others in waits.items() if not others}:
        waits = {name: others - free for name, others in waits.items() if name not in free}
    assert not waits


def test_ports_are_published_to_this_machine_only_and_are_the_platforms() -> None:
    theirs = our_ports() | THEIRS
    for name, one in services().items():
        for published in one.get("ports", ()):
            address, outer, inner = published.split(":")
            assert address == "127.0.0.1", f"{name} publishes {published} to the network"
            assert int(inner) in theirs[name], f"{name} listens on no {inner}"
            assert int(outer) == int(inner) or int(outer) in PUBLISHED
            assert any(network not in closed() for network in one["networks"]), f"{name} is on closed networks only"


def closed() -> set[str]:
    return {name for name, network in stack()["networks"].items() if network.get("internal")}


def test_storage_and_database_are_on_closed_networks_only() -> None:
    for name in ("postgres", "s3", "dask-scheduler", "rights", "roles", "migrate"):
        assert set(services()[name]["networks"]) <= closed()


def test_every_address_leads_to_a_service_that_listens_there_on_a_network_of_both(service: tuple[str, Service]) -> None:
    name, one = service
    everything = services()
    listening = our_ports() | THEIRS
    words = [str(value) for value in one.get("environment", {}).values()] + list(map(str, one.get("command", ())))
    for address in (found for word in words for found in ADDRESS.findall(word)):
        parts = urlsplit(address)
        other = parts.hostname or ""
        assert other in everything, f"{name} asks {other}, which is no service"
        assert parts.port in listening[other], f"{name} asks {other} on {parts.port}"
        assert set(everything[other]["networks"]) & set(one["networks"]), f"{name} can't reach {other}"


def test_every_path_of_the_project_exists_and_every_volume_is_declared(service: tuple[str, Service]) -> None:
    _, one = service
    declared = stack()["volumes"]
    for volume in one.get("volumes", ()):
        source, _, place = volume.partition(":")
        if source.startswith("."):
            assert (COMPOSE.parent / source).exists(), source
            assert place.endswith(":ro"), f"{volume}: a container may not change the project"
        elif not source.startswith("/"):
            assert source in declared


def test_every_declared_volume_is_used() -> None:
    used = {volume.partition(":")[0] for one in services().values() for volume in one.get("volumes", ())}
    assert set(stack()["volumes"]) <= used


def test_two_services_never_write_the_same_home() -> None:
    homes = [
        volume.partition(":")[0]
        for one in ours(services()).values()
        for volume in one.get("volumes", ())
        if volume.endswith(":/var/lib/mlops")
    ]
    assert len(homes) == len(set(homes))


def test_a_variable_of_the_platform_is_one_of_its_settings(service: tuple[str, Service]) -> None:
    _, one = service
    known = {f"MLOPS_{field.upper()}" for field in Settings.model_fields}
    given = {name for name in one.get("environment", {}) if not OTHER_VARIABLES.match(name)}
    assert given <= known, f"no such setting: {sorted(given - known)}"


def test_parts_together_are_one_installation() -> None:
    parts = [one["environment"]["MLOPS_PARTS"] for name, one in ours(services()).items() if name in our_ports()]
    assert sorted(parts) == ["gateway", "orchestrator", "serving"]
    for name in ("orchestrator", "serving", "serving-2", "gateway"):
        environment = services()[name]["environment"]
        assert environment["MLOPS_LISTEN"] == "0.0.0.0"
        for part in ("ORCHESTRATOR_HOST", "SERVING_HOSTS", "GATEWAY_HOST"):
            for host in environment[f"MLOPS_{part}"].split():
                assert host in our_ports()


def test_a_second_serving_host_has_the_name_of_the_first() -> None:
    assert "serving" in services()["serving-2"]["networks"]["inside"]["aliases"]


def test_the_database_is_asked_with_its_certificate_and_each_part_with_a_login_of_its_own() -> None:
    users: dict[str, set[str]] = {}
    for name, one in ours(services()).items():
        for variable, url in one.get("environment", {}).items():
            if not variable.endswith("DATABASE_URL"):
                continue
            parts = urlsplit(url)
            assert parse_qs(parts.query) == {"sslmode": ["verify-full"], "sslrootcert": ["/authority/ca.crt"]}
            # One only asks how the database is called.
            assert name == "rights" or "database-authority:/authority:ro" in one["volumes"]
            users.setdefault(name, set()).add(str(parts.username))
    assert users["migrate"] == users["orchestrator"] == {rights.OWNER, rights.READER}
    for name in ("serving", "serving-2", "gateway"):
        assert users[name] == {rights.SERVING}
    granted = services()["roles"]["command"][1:] + services()["grafana-login"]["command"][1:]
    assert set(granted) == {rights.OWNER, rights.SERVING, rights.READER, "grafana"}
    for role in granted:
        assert f"PASSWORD_{role}" in services()["roles"]["environment"]


def test_the_databases_release_is_one_that_the_orchestrators_programs_can_read() -> None:
    """Debian 12 has those of 15, and the base image's tag says which Debian it is."""
    assert "-bookworm@" in next(words for name, words in instructions() if name == "ARG")
    assert services()["postgres"]["image"].startswith("postgres:15.")


@pytest.mark.parametrize(("volume", "readers"), [("database-certificate", {"postgres"}), ("alerts", {"alertmanager"})])
def test_a_volume_that_holds_a_secret_is_mounted_by_who_needs_it(volume: str, readers: set[str]) -> None:
    mounting = {
        name
        for name, one in services().items()
        if any(mounted.startswith(f"{volume}:") for mounted in one.get("volumes", ()))
    }
    assert mounting == readers | {"prepare"}


def test_shared_secrets_are_written_by_the_orchestrator_only() -> None:
    for name, one in services().items():
        for volume in one.get("volumes", ()):
            if volume.startswith("secrets:"):
                assert volume.endswith(":ro") or name in ("prepare", "orchestrator")


def test_every_command_is_one_that_there_is(service: tuple[str, Service]) -> None:
    name, one = service
    if "build" in one:
        assert not programs_refused(one), name


def test_grafanas_variables_are_those_of_its_provisioning() -> None:
    one = services()["grafana"]
    asked = set(re.findall(r"\$\{(MLOPS_GRAFANA_\w+)\}", "".join(p.read_text() for p in provisioning())))
    given = {name for name in one["environment"] if name.startswith("MLOPS_GRAFANA_")}
    assert given == asked
    boards = one["environment"]["MLOPS_GRAFANA_DASHBOARDS"]
    (source,) = [volume.partition(":")[0] for volume in one["volumes"] if f":{boards}:" in volume]
    assert {file.stem for file in (COMPOSE.parent / source).glob("*.json")} == set(BOARDS)


def provisioning() -> list[Path]:
    return sorted((DEPLOY / "grafana" / "provisioning").rglob("*.yaml"))


def test_the_store_shows_nothing_but_s3() -> None:
    options = services()["s3"]["command"]
    assert "-ip.bind=127.0.0.1" in options
    assert [option for option in options if "0.0.0.0" in option] == ["-s3.ip.bind=0.0.0.0"]
    assert f"-s3.port={THEIRS['s3'].copy().pop()}" in options


def test_scripts_are_read_by_a_shell_and_may_not_be_changed_by_everybody() -> None:
    for script in sorted((DEPLOY / "compose").glob("*.sh")) + sorted((DEPLOY / "images").glob("*.sh")):
        assert subprocess.run(["sh", "-n", str(script)], timeout=20, check=False).returncode == 0
        assert not script.stat().st_mode & stat.S_IWOTH


def test_the_file_is_one_document() -> None:
    assert len(list(yaml.safe_load_all(COMPOSE.read_text()))) == 1
