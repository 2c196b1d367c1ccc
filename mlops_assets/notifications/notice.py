"""A notice: one fact that people should hear of, in words, with the key that makes it told once. Pure.

Add a kind here when a new sort of fact should reach people. Keep out the words of each kind (`from_ledger`,
`from_drift`, `from_runs`, `probes`), who is told (`channels`) and how often (`grouping`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LONGEST_TITLE = 200
LONGEST_BODY = 3000
LONGEST_NAME = 300
# A name and password inside an address, wherever it occurs in an error's text.
CREDENTIALS = re.compile(r"(?<=://)[^/\s@]*:[^/\s]*@")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")


class Kind(StrEnum):
    """What happened; one line of meaning each."""

    CANDIDATE = "candidate"  # a candidate got its first users
    PROMOTION = "promotion"  # a release took over production
    ROLLBACK = "rollback"  # a release was withdrawn
    EXPIRY = "expiry"  # a candidate got no verdict in time
    BLOCKED = "blocked"  # drift keeps the candidate from being promoted
    UNBLOCKED = "unblocked"  # it no longer does
    DRIFT = "drift"  # a day of live data drifted
    RETRAIN = "retrain"  # a rollback or drift asked for a training run
    GATE_FAILED = "gate_failed"  # an asset check of severity ERROR failed
    RUN_FAILED = "run_failed"  # a Dagster run failed, crashed or couldn't start
    UNHEALTHY = "unhealthy"  # a service doesn't answer
    RECOVERED = "recovered"  # it answers again
    ALERT = "alert"  # a rule of Prometheus fires, or no longer does
    HEALTH = "health"  # the hourly look at the platform found issues, or that they are gone


class Severity(StrEnum):
    """How urgent a notice is, mildest first."""

    INFO = "info"  # nobody has to do anything
    WARNING = "warning"  # look at it today
    CRITICAL = "critical"  # users are affected now

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


SEVERITY = {
    Kind.ROLLBACK: Severity.WARNING,
    Kind.EXPIRY: Severity.WARNING,
    Kind.BLOCKED: Severity.WARNING,
    Kind.DRIFT: Severity.WARNING,
    Kind.GATE_FAILED: Severity.WARNING,
    Kind.RUN_FAILED: Severity.WARNING,
    Kind.UNHEALTHY: Severity.CRITICAL,
}


@dataclass(frozen=True)
class Notice:
    """One fact for people.

    `key` names the causing fact, so that telling it again changes nothing. Repeats are counted by `group`. `subject`
    is what it is about: a release, a column, a job, a service. `body` is plain text, one statement a line. Texts are
    cleaned and cut: a title is one line, no control characters, no credentials in addresses.
    """

    kind: Kind
    product: str | None
    subject: str
    severity: Severity
    title: str
    body: str
    link: str | None
    key: str
    group: str
    at: datetime

    def __post_init__(self) -> None:
        cleaned = {
            "subject": one_line(self.subject, LONGEST_NAME),
            "title": one_line(self.title, LONGEST_TITLE),
            "body": cut(clean(self.body), LONGEST_BODY),
            "key": name_of(self.key),
            "group": name_of(self.group),
        }
        for name, value in cleaned.items():
            object.__setattr__(self, name, value)


def severity_of(kind: Kind) -> Severity:
    """How urgent notices of a kind are."""
    return SEVERITY.get(kind, Severity.INFO)


def titled(product: str | None, words: str) -> str:
    """`[house_prices] release 5 promoted`; `[platform] …` for what belongs to no product."""
    return f"[{product or 'platform'}] {words}"


def clean(text: str) -> str:
    """`text` as a database and a mail can hold it, without the credentials that addresses in it carry."""
    plain = CONTROL.sub(" ", text.replace("\r\n", "\n")).encode("utf-8", "replace").decode("utf-8")
    return CREDENTIALS.sub("***@", plain).strip()


def one_line(text: str, longest: int) -> str:
    """Cleaned, blanks and line ends made one blank, cut."""
    return cut(" ".join(clean(text).split()), longest)


def name_of(text: str) -> str:
    """`text` as a key; a long one ends in its digest, so that two that begin alike stay apart."""
    plain = " ".join(clean(text).split())
    if len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:16]
    return f"{plain[: LONGEST_NAME - 17]}~{digest}"


def cut(text: str, longest: int) -> str:
    """At most `longest` characters; an ellipsis shows that some are missing."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def moment(at: datetime) -> str:
    """`2026-03-02 14:05 UTC`; moments here are UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
