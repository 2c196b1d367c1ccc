"""What deploy/aws declares, with the cloud played by Pulumi's mocks: nothing open, nothing lost, nothing told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml

from tests.unit.deploy.aws_declared import AWS, Stack, declared
from tests.unit.deploy.kubernetes_objects import named, of_kind, rendered, settings_of

# `_Secret` as Pulumi sends it: encrypted in the stack's state, hidden in what it prints.
SECRET = "1b47061264138c4ac30d75fd1eb44270"
OVERLAY = "overlays/aws"


@pytest.fixture(scope="module")
def stack() -> Stack:
    return declared(administrators=("arn:aws:iam::111122223333:role/platform-team",))


@pytest.fixture(scope="module")
def choices() -> Any:
    from infrastructure.choices import Choices

    return Choices


def statements(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of the roles' own policies."""
    for name, inputs in stack.cloud.of_type("iam/rolePolicy:RolePolicy").items():
        for statement in json.loads(inputs["policy"])["Statement"]:
            yield name, statement


def test_three_zones_have_private_subnets_that_do_not_overlap(stack: Stack) -> None:
    subnets = stack.cloud.of_type("ec2/subnet:Subnet")
    zones = {inputs["availabilityZone"] for name, inputs in subnets.items() if name.startswith("private")}
    assert len(zones) == 3
    blocks = [IPv4Network(inputs["cidrBlock"]) for inputs in subnets.values()]
    network = IPv4Network(stack.cloud.only("ec2/vpc:Vpc")["cidrBlock"])
    assert all(block.subnet_of(network) for block in blocks)
    assert not [(a, b) for a in blocks for b in blocks if a is not b and a.overlaps(b)]
    assert not [inputs for inputs in subnets.values() if inputs["mapPublicIpOnLaunch"]]


def test_private_subnets_leave_by_nat_and_reach_the_bucket_without(stack: Stack) -> None:
    routes = stack.cloud.of_type("ec2/route:Route")
    assert [name for name, route in routes.items() if "gatewayId" in route] == ["public"]
    assert {route["natGatewayId"] for name, route in routes.items() if name != "public"} == {"nat-0-id"}
    endpoint = stack.cloud.only("ec2/vpcEndpoint:VpcEndpoint")
    assert endpoint["vpcEndpointType"] == "Gateway"
    assert set(endpoint["routeTableIds"]) == {f"private-{number}-id" for number in range(3)}


def test_each_zone_may_have_a_way_out_of_its_own() -> None:
    routes = declared(nat_per_zone=True).cloud.of_type("ec2/route:Route")
    assert len({route["natGatewayId"] for route in routes.values() if "natGatewayId" in route}) == 3


def test_nothing_lets_the_world_in(stack: Stack) -> None:
    for kind in ("ec2/securityGroup:SecurityGroup", "ec2/defaultSecurityGroup:DefaultSecurityGroup"):
        for inputs in stack.cloud.of_type(kind).values():
            assert not inputs.get("ingress")
    [rule] = stack.cloud.of_type("vpc/securityGroupIngressRule:SecurityGroupIngressRule").values()
    assert not {"cidrIpv4", "cidrIpv6"} & set(rule)


def test_the_database_is_reached_by_the_clusters_members_alone(stack: Stack) -> None:
    rule = stack.cloud.only("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    database = stack.cloud.only("rds/instance:Instance")
    assert rule["referencedSecurityGroupId"] == "members-of-the-cluster"
    assert (rule["fromPort"], rule["toPort"]) == (database["port"], database["port"])
    assert database["vpcSecurityGroupIds"] == [rule["securityGroupId"]]
    assert database["publiclyAccessible"] is False
    subnets = stack.cloud.only("rds/subnetGroup:SubnetGroup")["subnetIds"]
    assert set(subnets) == {f"private-{number}-id" for number in range(3)}


def test_the_database_survives_a_zone_a_mistake_and_a_thief(stack: Stack) -> None:
    database = stack.cloud.only("rds/instance:Instance")
    assert database["multiAz"] is True
    assert database["storageEncrypted"] is True
    assert database["deletionProtection"] is True
    assert database["skipFinalSnapshot"] is False
    assert database["backupRetentionPeriod"] >= 7
    parameters = stack.cloud.only("rds/parameterGroup:ParameterGroup")
    values = {each["name"]: each["value"] for each in parameters["parameters"]}
    assert values["rds.force_ssl"] == "1"
    assert database["parameterGroupName"] == "mlops"
    assert parameters["family"] == f"{database['engine']}{database['engineVersion']}"


def test_the_owners_password_is_made_by_rds_and_never_seen(stack: Stack) -> None:
    database = stack.cloud.only("rds/instance:Instance")
    assert database["manageMasterUserPassword"] is True
    assert not [name for name in database if "password" in name.lower() and name != "manageMasterUserPassword"]


def test_generated_secrets_are_secrets_all_the_way(stack: Stack) -> None:
    versions = stack.cloud.of_type("secretsmanager/secretVersion:SecretVersion")
    assert versions
    for name, inputs in versions.items():
        assert SECRET in inputs["secretString"].values(), name
    told = json.dumps(stack.outputs)
    assert "generated-" not in told
    assert "password" not in told


def test_a_roles_url_is_one_that_the_platform_takes(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_assets.settings import load

    versions = stack.cloud.of_type("secretsmanager/secretVersion:SecretVersion")
    for name, role in (("database-orchestrator", "mlops_orchestrator"), ("database-serving", "mlops_serving")):
        kept = json.loads(versions[name]["secretString"]["value"])
        monkeypatch.setenv("MLOPS_DATABASE_URL", kept["url"])
        assert load().database.startswith(f"postgresql+psycopg2://{role}:{kept['password']}@")
        assert "sslmode=verify-full" in kept["url"]


def test_the_bucket_keeps_what_it_had_and_opens_to_nobody(stack: Stack) -> None:
    cloud = stack.cloud
    assert cloud.only("s3/bucketVersioning:BucketVersioning")["versioningConfiguration"]["status"] == "Enabled"
    closed = cloud.only("s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    assert all(closed[word] is True for word in closed if word != "bucket")
    assert len(closed) == 5
    [rule] = cloud.only("s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "AES256"
    [denied] = json.loads(cloud.only("s3/bucketPolicy:BucketPolicy")["policy"])["Statement"]
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert "forceDestroy" not in cloud.only("s3/bucket:Bucket")
    # Only what was replaced or never finished goes by itself.
    for each in cloud.only("s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")["rules"]:
        assert set(each.get("expiration", {})) <= {"expiredObjectDeleteMarker"}


def test_no_role_has_a_wildcard_but_for_files_below_its_own_prefix(stack: Stack) -> None:
    bucket = f"arn:aws:s3:::{stack.cloud.only('s3/bucket:Bucket')['bucket']}"
    seen = set()
    for name, statement in statements(stack):
        seen.add(name)
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action], name
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        for resource in resources:
            assert "*" not in resource or resource.startswith(f"{bucket}/production/"), name
    assert seen == {"orchestrator", "serving", "external-secrets"}


def test_serving_reads_releases_and_nothing_else(stack: Stack) -> None:
    given = [statement for name, statement in statements(stack) if name == "serving"]
    assert {action for statement in given for action in statement["Action"]} == {"s3:GetObject", "s3:ListBucket"}
    [listing] = [statement for statement in given if "s3:ListBucket" in statement["Action"]]
    [reading] = [statement for statement in given if "s3:GetObject" in statement["Action"]]
    assert reading["Resource"].endswith("/production/*/releases/*")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["production/*/releases/*"]}}


def test_releases_lie_where_serving_may_read(stack: Stack) -> None:

    from mlops_assets.storage.files import Storage

    [reading] = [s for name, s in statements(stack) if name == "serving" and "s3:GetObject" in s["Action"]]
    folder = Storage(stack.outputs["storage_url"]).at("house_prices", "releases", "7").url
    assert fnmatch(f"{folder}/model.onnx".replace("s3://", "arn:aws:s3:::"), reading["Resource"])


def test_roles_go_to_the_accounts_of_the_manifests(stack: Stack) -> None:
    given = {
        (inputs["namespace"], inputs["serviceAccount"])
        for inputs in stack.cloud.of_type("eks/podIdentityAssociation:PodIdentityAssociation").values()
    }
    accounts = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in of_kind(rendered(OVERLAY), "ServiceAccount")
    }
    # The gateway reads no file: it has no role.
    assert given - {("external-secrets", "external-secrets")} == accounts - {("mlops", "gateway")}
    for role in ("orchestrator", "serving", "external-secrets"):
        trust = json.loads(stack.cloud.of_type("iam/role:Role")[role]["assumeRolePolicy"])["Statement"]
        assert [each["Principal"] for each in trust] == [{"Service": "pods.eks.amazonaws.com"}]


def test_the_clusters_api_is_private_and_its_secrets_encrypted(stack: Stack) -> None:
    cluster = stack.cloud.only("eks/cluster:Cluster")
    assert cluster["vpcConfig"]["endpointPrivateAccess"] is True
    assert cluster["vpcConfig"]["endpointPublicAccess"] is False
    assert cluster["encryptionConfig"]["resources"] == ["secrets"]
    assert stack.cloud.only("kms/key:Key")["enableKeyRotation"] is True
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    [entry] = stack.cloud.of_type("eks/accessEntry:AccessEntry").values()
    assert entry["principalArn"].endswith("role/platform-team")


def test_named_networks_may_reach_the_api_from_outside() -> None:
    reached = declared(api_networks=("203.0.113.0/24",)).cloud.only("eks/cluster:Cluster")["vpcConfig"]
    assert reached["publicAccessCidrs"] == ["203.0.113.0/24"]
    assert reached["endpointPublicAccess"] is True


def test_nodes_are_in_private_subnets_and_lend_pods_no_role(stack: Stack) -> None:
    nodes = stack.cloud.only("eks/nodeGroup:NodeGroup")
    assert set(nodes["subnetIds"]) == {f"private-{number}-id" for number in range(3)}
    template = stack.cloud.only("ec2/launchTemplate:LaunchTemplate")
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"


def test_network_policies_and_pod_identity_are_switched_on(stack: Stack) -> None:
    addons = {inputs["addonName"]: inputs for inputs in stack.cloud.of_type("eks/addon:Addon").values()}
    assert json.loads(addons["vpc-cni"]["configurationValues"]) == {"enableNetworkPolicy": "true"}
    assert {"eks-pod-identity-agent", "metrics-server", "aws-ebs-csi-driver"} < set(addons)


def test_images_never_change_and_are_looked_through(stack: Stack) -> None:
    for inputs in stack.cloud.of_type("ecr/repository:Repository").values():
        assert inputs["imageTagMutability"] == "IMMUTABLE"
        assert inputs["imageScanningConfiguration"]["scanOnPush"] is True


def test_the_overlay_names_what_the_stack_declares(stack: Stack) -> None:
    given = settings_of(rendered(OVERLAY))
    assert given["MLOPS_STORAGE_URL"] == stack.outputs["storage_url"]
    overlay = yaml.safe_load((AWS.parent / "k8s" / OVERLAY / "kustomization.yaml").read_text())
    assert {image["newName"] for image in overlay["images"]} == {
        stack.outputs["image_orchestrator"],
        stack.outputs["image_serving"],
    }
    block = named(rendered(OVERLAY), "NetworkPolicy", "database")["spec"]["egress"][0]["to"][0]["ipBlock"]["cidr"]
    assert block == stack.cloud.only("ec2/vpc:Vpc")["cidrBlock"]


def test_the_overlay_copies_the_secrets_that_the_stack_keeps(stack: Stack) -> None:
    kept = {inputs["name"] for inputs in stack.cloud.of_type("secretsmanager/secret:Secret").values()}
    copied: set[str] = set()
    for each in of_kind(rendered(OVERLAY), "ExternalSecret"):
        copied |= {data["remoteRef"]["key"] for data in each["spec"].get("data", ())}
        copied |= {source["extract"]["key"] for source in each["spec"].get("dataFrom", ())}
    assert copied == kept


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"network": "10.20.0.0/24"}, "mlops:network"),
        ({"network": "10.20.0.1/16"}, "mlops:network"),
        ({"api_networks": ("0.0.0.0/0",)}, "mlops:api_networks"),
        ({"nodes_least": 9}, "mlops:nodes_least"),
        ({"backup_days": 0}, "mlops:backup_days"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_by_name(choices: Any, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        choices(**wrong)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("kubernetes_version", 1.4, "text in quotation marks"),
        ("nodes_most", "many", "a whole number"),
        ("nat_per_zone", 1, "true or false"),
        ("administrators", "arn:aws:iam::1:role/a", "a list of text"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(choices: Any, name: str, value: object, told: str) -> None:
    class Config:
        def get_object(self, key: str) -> object:
            return value if key == name else None

    with pytest.raises(ValueError, match=f"mlops:{name}: .* isn't {told}"):
        choices.read(Config())


def test_what_is_not_chosen_has_its_default(choices: Any) -> None:
    class Config:
        def get_object(self, key: str) -> object:
            return {"nodes_most": 12, "administrators": ["arn:aws:iam::1:role/a"]}.get(key)

    read = choices.read(Config())
    assert (read.nodes_most, read.administrators) == (12, ("arn:aws:iam::1:role/a",))
    assert read.network == choices().network
