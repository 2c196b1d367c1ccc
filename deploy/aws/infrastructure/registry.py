"""The registry of the two images."""

from __future__ import annotations

import json

from pulumi_aws import ecr

IMAGES = ("orchestrator", "serving")
KEPT_IMAGES = 50


def declare_registry() -> dict[str, ecr.Repository]:
    """A repository for each image, whose tags never come to mean something else."""
    repositories = {}
    for image in IMAGES:
        repository = ecr.Repository(
            image,
            name=f"mlops/{image}",
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "AES256"}],
        )
        oldest_go = {
            "rulePriority": 1,
            "description": f"the newest {KEPT_IMAGES} stay",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT_IMAGES},
            "action": {"type": "expire"},
        }
        ecr.LifecyclePolicy(image, repository=repository.name, policy=json.dumps({"rules": [oldest_go]}))
        repositories[image] = repository
    return repositories
