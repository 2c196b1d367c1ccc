"""What the program of deploy/aws declares, without a cloud: every resource with its inputs, by type and name.

Add here how a resource is found or read. Keep out what is expected of it.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pulumi

PROJECT = Path(__file__).resolve().parents[3]
AWS = PROJECT / "deploy/aws"
# Pulumi runs the program in its own folder; this is where its package is found then.
sys.path.append(str(AWS))

ACCOUNT = "111122223333"
REGION = "eu-central-1"


@dataclass
class Cloud(pulumi.runtime.Mocks):
    """Answers as AWS would, with names in place of what it would make up."""

    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.typ, args.name] = args.inputs
        made = {
            "arn": f"arn:aws:{args.typ.split('/')[0].removeprefix('aws:')}::{ACCOUNT}:{args.name}",
            "endpoint": f"{args.name}.example.rds.amazonaws.com:5432",
            "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{args.inputs.get('name')}",
            "masterUserSecrets": [{"secretArn": "arn:aws:secretsmanager:::owner"}],
            "latestVersion": 1,
        }
        if args.typ == "aws:s3/bucket:Bucket":
            made["arn"] = f"arn:aws:s3:::{args.inputs['bucket']}"
        if args.typ == "aws:eks/cluster:Cluster":
            made["vpcConfig"] = {**args.inputs["vpcConfig"], "clusterSecurityGroupId": "members-of-the-cluster"}
        if args.typ == "random:index/randomPassword:RandomPassword":
            made["result"] = f"generated-{args.name}"
        return f"{args.name}-id", {"name": args.name, **args.inputs, **made}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        answers: dict[str, dict[str, Any]] = {
            "aws:index/getAvailabilityZones:getAvailabilityZones": {"names": [f"{REGION}{zone}" for zone in "abcd"]},
            "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT},
            "aws:index/getRegion:getRegion": {"region": REGION},
        }
        return answers[args.token]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Inputs of every resource of a type such as `s3/bucket:Bucket`, by name."""
        return {name: inputs for (typ, name), inputs in self.resources.items() if typ == f"aws:{kind}"}

    def only(self, kind: str) -> dict[str, Any]:
        """Inputs of the only resource of a type."""
        [inputs] = self.of_type(kind).values()
        return inputs


@dataclass(frozen=True)
class Stack:
    """What was declared, and what the program would tell."""

    cloud: Cloud
    outputs: dict[str, Any]


def declared(**choices: Any) -> Stack:
    """Run the program with these choices; a resource whose inputs don't fit raises."""
    from infrastructure.choices import Choices
    from infrastructure.stack import declare

    cloud = Cloud()
    _have_a_loop()
    pulumi.runtime.set_mocks(cloud, project="mlops", stack="test", preview=False)
    told: dict[str, Any] = {}

    @pulumi.runtime.test
    def run() -> pulumi.Output[None]:
        outputs = declare(Choices(**choices)).outputs()
        return pulumi.Output.all(**outputs).apply(lambda given: told.update(given))

    with warnings.catch_warnings():
        # The provider's package imports all of a service's resources, also those that it has given up, and says so.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        run()
    return Stack(cloud, told)


@cache
def _own_loop() -> asyncio.AbstractEventLoop:
    """One for all tests of this process, kept until its end: a loop that is forgotten unclosed is a warning."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def _have_a_loop() -> None:
    """Pulumi takes the thread's own loop, which other tests may have taken away or closed."""
    try:
        closed = asyncio.get_event_loop_policy().get_event_loop().is_closed()
    except RuntimeError:
        closed = True
    if closed:
        asyncio.set_event_loop(_own_loop())
