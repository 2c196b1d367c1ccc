"""What the facts of a product say, part by part: a state and a sentence each. Pure.

Add a part here with its name in `PartName`. Keep out reading (`reads`). A part that has nothing to say is `none`, so a
product without traffic or with a young log is never a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mlops_assets.api.overview.reads import Answers, Check, Data, Run
from mlops_assets.api.overview.schemas import Part, State
from mlops_assets.observability.health.words import named, span
from mlops_assets.rollout.phases import ACTIVE, MEANING, Phase
from mlops_assets.rollout.state import State as RolloutState
from mlops_assets.training.objectives import Objectives

ORDER = (State.NONE, State.GOOD, State.BUSY, State.WARN, State.BAD)
# Fewer requests say nothing of a share.
LEAST_REQUESTS = 20
MANY_ANOMALIES, TOO_MANY_ANOMALIES = 0.05, 0.10
GOING = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


def worst(states: Iterable[State]) -> State:
    """The state of a whole; none if no part has one."""
    return max(states, key=ORDER.index, default=State.NONE)


def data_part(found: Data | None, checks: Sequence[Check], late: Sequence[str]) -> Part:
    """The newest data, its contract, and the product's assets that weren't made when their policies ask for it."""
    if found is None:
        return Part(name="data", state=State.NONE, said="no data yet")
    said = f"V{found.version}, {found.rows:,} rows" + (" of sample data" if found.sample else "")
    broken = [check for check in checks if not check.passed]
    if broken:
        state = State.BAD if any(check.blocking for check in broken) else State.WARN
        said = f"{said}; the newest content breaks {named([check.name for check in broken])}"
    elif late:
        state, said = State.WARN, f"{said}; late: {named(late)}"
    else:
        state = State.GOOD
    return Part(name="data", state=state, said=said, at=found.created_at)


def training_part(runs: Sequence[Run], gates: Sequence[Check]) -> Part:
    """The newest training, and the gates that its model didn't pass."""
    if not runs:
        return Part(name="training", state=State.NONE, said="never trained")
    newest = runs[0]
    failed = [check.name for check in gates if not check.passed]
    if newest.status in GOING:
        state, said = State.BUSY, "waits for its start" if newest.status in GOING[:2] else "goes on"
    elif newest.status == "FAILURE":
        state, said = State.BAD, "the newest training failed"
    elif newest.status == "CANCELED":
        state, said = State.WARN, "the newest training was canceled"
    else:
        state = State.GOOD
        said = "the newest training succeeded" + ("" if newest.seconds is None else f" in {span(newest.seconds)}")
    if failed and state is not State.BUSY:
        state = worst((state, State.WARN))
        said = f"{said}; its model didn't pass {named(failed)}"
    return Part(name="training", state=state, said=said, at=newest.created_at)


def serving_part(product: str, seen: Answers, objectives: Objectives, production: int | None) -> Part:
    """Whether users get answers, within the limits that the product promises."""
    page = f"rollouts#{product}"
    if "production" in seen.down:
        said = f"the production service hasn't answered for {span(seen.down['production'])}"
        return Part(name="serving", state=State.BAD, said=said, page=page)
    if production is None:
        return Part(name="serving", state=State.NONE, said="no release serves yet", page=page)
    asked = seen.answered + seen.failed
    if asked == 0:
        return Part(name="serving", state=State.NONE, said="no requests in the last hour", page=page)
    available = seen.answered / asked
    state = State.GOOD
    said = f"{seen.answered:,} answers in the last hour"
    if seen.failed:
        said = f"{said}, {seen.failed:,} failed"
    if seen.timed:
        said = f"{said}, {_share(seen.quick / seen.timed)} within {objectives.latency_ms:g} ms"
    if asked >= LEAST_REQUESTS:
        if seen.timed and seen.quick / seen.timed < objectives.latency_share:
            state = State.WARN
            said = f"{said}; {_share(objectives.latency_share)} are promised"
        if available < objectives.availability:
            state = State.BAD
            said = f"{said}; {_share(objectives.availability)} are promised to succeed"
    if "candidate" in seen.down:
        state = worst((state, State.WARN))
        said = f"{said}; the standby service doesn't answer"
    return Part(name="serving", state=state, said=said, page=page)


def rollout_part(state: RolloutState) -> Part:
    """Who serves and where a rollout stands."""
    page = f"rollouts#{state.product}"
    if state.production is None:
        return Part(name="rollout", state=State.NONE, said="no release yet", page=page)
    phase = Phase(state.phase)
    if phase in ACTIVE:
        said = f"release {state.candidate} beside {state.production}, {state.candidate_share:.0%} of the users"
    elif phase is Phase.ROLLED_BACK:
        said = f"release {state.production} serves; the newest rollout was rolled back"
    else:
        said = f"release {state.production}: {MEANING[phase]}"
    found = State.GOOD
    if phase in ACTIVE or phase in (Phase.PROMOTING, Phase.WATCH):
        found = State.BUSY
    if phase is Phase.ROLLED_BACK:
        found = State.WARN
    if state.paused:
        found, said = State.WARN, f"{said}; paused by hand"
    if state.drift_block:
        found, said = State.WARN, f"{said}; promotions are blocked by drift"
    return Part(name="rollout", state=found, said=said, at=state.phase_at, page=page)


def drift_part(product: str, day: str | None, status: str, drifted: Sequence[str], at: datetime | None) -> Part:
    """The newest day that was compared with what the release was trained on."""
    page = f"drift#{product}"
    if day is None:
        return Part(name="drift", state=State.NONE, said="no day has been compared yet", page=page)
    said, state = {
        "ok": ("like the training data", State.GOOD),
        "drifted": (f"{named(drifted)} drifted", State.WARN),
        "insufficient": ("too few rows to say anything", State.NONE),
    }.get(status, ("nothing to compare with", State.NONE))
    return Part(name="drift", state=state, said=f"{day}: {said}", at=at, page=page)


def scores_part(month: str, records: int, anomalies: int, at: datetime) -> Part:
    """The newest month whose records were scored."""
    if not records:
        return Part(name="scores", state=State.NONE, said=f"{month}: no records", at=at, page="scores")
    rate = anomalies / records
    state = State.BAD if rate >= TOO_MANY_ANOMALIES else State.WARN if rate >= MANY_ANOMALIES else State.GOOD
    said = f"{month}: {anomalies:,} of {records:,} records are anomalies ({_share(rate)})"
    return Part(name="scores", state=state, said=said, at=at, page="scores")


def _share(share: float) -> str:
    return f"{100 * share:.4g} %"
