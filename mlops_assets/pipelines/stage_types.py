"""The field's words for what a stage does and what it leaves behind.

Add a member here when the vocabulary of declared pipelines grows. Keep out what follows from a type: a stage's type
says what it is for, in lists, tags and the graph, and changes nothing of how it runs.
"""

from __future__ import annotations

from enum import StrEnum


class StageType(StrEnum):
    """What a stage is for. `CUSTOM` stages say it in their `custom_name`."""

    DATA_INGESTION = "DATA_INGESTION"
    DATA_VALIDATION = "DATA_VALIDATION"
    DATA_PREPROCESSING = "DATA_PREPROCESSING"
    FEATURE_ENGINEERING = "FEATURE_ENGINEERING"
    DATA_SPLITTING = "DATA_SPLITTING"
    MODEL_TRAINING = "MODEL_TRAINING"
    MODEL_VALIDATION = "MODEL_VALIDATION"
    MODEL_EVALUATION = "MODEL_EVALUATION"
    MODEL_TESTING = "MODEL_TESTING"
    MODEL_REGISTRATION = "MODEL_REGISTRATION"
    MODEL_DEPLOYMENT = "MODEL_DEPLOYMENT"
    MODEL_MONITORING = "MODEL_MONITORING"
    EXPLORATORY_DATA_ANALYSIS = "EXPLORATORY_DATA_ANALYSIS"
    HYPERPARAMETER_TUNING = "HYPERPARAMETER_TUNING"
    MODEL_COMPARISON = "MODEL_COMPARISON"
    ENVIRONMENT_SETUP = "ENVIRONMENT_SETUP"
    RESOURCE_PROVISIONING = "RESOURCE_PROVISIONING"
    CLEANUP = "CLEANUP"
    CUSTOM = "CUSTOM"


class ArtifactType(StrEnum):
    """What a kept file is."""

    MODEL = "MODEL"
    DATASET = "DATASET"
    METRICS = "METRICS"
    PLOT = "PLOT"
    LOG = "LOG"
    CONFIG = "CONFIG"
    REPORT = "REPORT"
    OTHER = "OTHER"
