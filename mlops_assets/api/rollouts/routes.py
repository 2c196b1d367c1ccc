"""The rollout routes: what is, and orders by hand.

Add a route here. A route parses, calls one function and answers; every order is one method of the ledger. Keep out what
orders mean (`rollout`) and how things are shown (`views`, `outlook`). Routes are plain `def`: the database is read in a
thread, never on the event loop.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from starlette.exceptions import HTTPException

from mlops_assets.access.idempotency import KEY
from mlops_assets.access.roles import Caller, Kind
from mlops_assets.api.auth import Operator, Viewer
from mlops_assets.api.problems import answers
from mlops_assets.api.rollouts import records
from mlops_assets.api.rollouts.outlook import orders, upcoming
from mlops_assets.api.rollouts.schemas import (
    LARGEST_INTEGER,
    LedgerPage,
    Ordered,
    PhaseView,
    PromoteOrder,
    Reasoned,
    RolloutDetail,
    Rollouts,
    RolloutView,
    ShareOrder,
    StateView,
)  # fmt: skip
from mlops_assets.api.rollouts.views import ledger_page, look_view, points, policy_of, release_view
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.phases import MEANING
from mlops_assets.rollout.policy import RolloutPolicy

FIRST_PAGE = 25
LONGEST_PAGE = 200
READ_ANSWERS = answers(401, 404, 422, 503)
ORDER_ANSWERS = answers(400, 401, 403, 404, 409, 413, 415, 422, 503)

ByOperator = Annotated[Caller, Operator]
Action = Literal["pause", "resume", "share", "promote", "rollback"]
Name = Annotated[str, Path(max_length=100, description="A product's name")]
Key = Annotated[
    str | None, Header(alias="Idempotency-Key", description="The same key again changes nothing and answers the same")
]
KnownTag = Annotated[str | None, Header(alias="If-None-Match", max_length=200)]


@dataclass(frozen=True)
class Subject:
    """A product that the API shows: `headline` names the metrics by which its releases are told apart."""

    name: str
    title: str
    policy: RolloutPolicy | None = None
    headline: tuple[str, ...] = ()


def rollout_routes(subjects: Mapping[str, Subject], ledger: Ledger) -> APIRouter:
    """Every route below /api/v1/rollouts."""
    router = APIRouter(prefix="/api/v1/rollouts", tags=["rollouts"], dependencies=[Viewer], responses=answers(429))
    _add_reads(router, subjects, ledger)
    _add_orders(router, subjects, ledger)
    return router


def _subject(subjects: Mapping[str, Subject], product: str) -> Subject:
    found = subjects.get(product)
    if found is None:
        raise HTTPException(404, f"no served product {product!r}; there are: {', '.join(subjects) or 'none'}")
    return found


def _add_reads(router: APIRouter, subjects: Mapping[str, Subject], ledger: Ledger) -> None:
    # A policy changes only with a new process, everything else that is shown only with the ledger.
    started = secrets.token_hex(4)

    @router.get("", responses=answers(401, 503))
    def list_rollouts() -> Rollouts:
        """Every served product: who serves, where its rollout stands, and what comes next."""
        return Rollouts(rollouts=[view(ledger, subject) for subject in subjects.values()])

    @router.get("/{product}", responses=READ_ANSWERS | {304: {"description": "Nothing was decided since"}})
    def read_rollout(product: Name, response: Response, known: KnownTag = None) -> RolloutDetail:
        """One product with every look of its newest rollout and the newest decisions."""
        subject = _subject(subjects, product)
        state = ledger.state(product)
        tag = f'"{started}-{state.seq}"'
        if known == tag:
            raise HTTPException(304, headers={"ETag": tag})
        response.headers["ETag"] = tag
        return detail(ledger, subject, state)

    @router.get("/{product}/ledger", responses=READ_ANSWERS)
    def read_ledger(
        product: Name,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = FIRST_PAGE,
        before: Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER, description="Only older ones")] = None,
    ) -> LedgerPage:
        """Decisions, newest first, page by page."""
        _subject(subjects, product)
        return ledger_page(ledger.history(product, limit + 1, before), limit)


def _add_orders(router: APIRouter, subjects: Mapping[str, Subject], ledger: Ledger) -> None:
    def carry_out(
        action: Action, product: str, body: Reasoned, caller: Caller, key: str | None, **more: Any
    ) -> Ordered:
        _subject(subjects, product)
        change: Callable[..., State] = getattr(ledger, action)
        return Ordered(
            state=StateView.model_validate(
                change(product, actor=actor_of(caller, body), reason=body.reason, key=_ledger_key(action, key), **more)
            )
        )

    @router.post("/{product}/pause", responses=ORDER_ANSWERS)
    def pause(product: Name, body: Reasoned, caller: ByOperator, key: Key = None) -> Ordered:
        """Let nothing but a rollback happen by itself."""
        return carry_out("pause", product, body, caller, key)

    @router.post("/{product}/resume", responses=ORDER_ANSWERS)
    def resume(product: Name, body: Reasoned, caller: ByOperator, key: Key = None) -> Ordered:
        """Let looks decide again."""
        return carry_out("resume", product, body, caller, key)

    @router.post("/{product}/share", responses=ORDER_ANSWERS)
    def share(product: Name, body: ShareOrder, caller: ByOperator, key: Key = None) -> Ordered:
        """Set the candidate's share of the users."""
        policy = _subject(subjects, product).policy or RolloutPolicy()
        return carry_out("share", product, body, caller, key, share=body.share, steps=policy.steps)

    @router.post("/{product}/promote", responses=ORDER_ANSWERS)
    def promote(product: Name, body: PromoteOrder, caller: ByOperator, key: Key = None) -> Ordered:
        """Make the candidate, or another published release, production."""
        return carry_out("promote", product, body, caller, key, version=body.version)

    @router.post("/{product}/rollback", responses=ORDER_ANSWERS)
    def rollback(product: Name, body: Reasoned, caller: ByOperator, key: Key = None) -> Ordered:
        """Withdraw the candidate; without one, go back to the production before this one."""
        return carry_out("rollback", product, body, caller, key)


def actor_of(caller: Caller, order: Reasoned) -> str:
    """Who is noted for an order: whoever a provider vouches for can't give another name."""
    return caller.name if caller.kind is Kind.OIDC else order.actor


def _ledger_key(action: str, key: str | None) -> str | None:
    """The ledger's key: one key for two different orders must not make the second one vanish."""
    if key is None:
        return None
    if not KEY.fullmatch(key):
        raise HTTPException(400, "Idempotency-Key: 1 to 200 printable ASCII characters without blanks")
    return f"api:{action}:{key}"


def view(ledger: Ledger, subject: Subject, state: State | None = None) -> RolloutView:
    """A product as the list shows it."""
    state = state or ledger.state(subject.name)
    labels = ledger.labels(subject.name)
    serving = {v for v in (state.production, state.candidate, state.previous) if v is not None}
    found = records.releases_of(ledger.database, subject.name, serving)
    newest = records.newest_look(ledger.database, subject.name, state.rollout)
    look = look_view(newest)
    policy = policy_of(newest, subject.policy)
    since = records.production_since(ledger.database, subject.name, state.production) if state.production else None
    views = {version: release_view(release, labels, subject.headline) for version, release in found.items()}
    production = views.get(state.production or 0)
    candidate = views.get(state.candidate or 0)
    return RolloutView(
        product=subject.name,
        title=subject.title,
        state=StateView.model_validate(state),
        phase=PhaseView(name=state.phase, meaning=MEANING[state.phase], since=state.phase_at),
        production=production and production.model_copy(update={"since": since}),
        candidate=candidate and candidate.model_copy(update={"since": state.started_at}),
        previous=views.get(state.previous or 0),
        look=look,
        upcoming=upcoming(state, policy, look.evidence if look else None, look.at if look else None),
        orders=orders(state, policy, labels),
        policy=policy,
    )


def detail(ledger: Ledger, subject: Subject, state: State) -> RolloutDetail:
    """A product as its own page shows it."""
    labels = ledger.labels(subject.name)
    looks = ledger.looks(subject.name, state.rollout) if state.rollout is not None else []
    found = records.releases_of(ledger.database, subject.name, set())
    return RolloutDetail(
        **view(ledger, subject, state).model_dump(),
        series=points(looks),
        releases=[release_view(release, labels, subject.headline) for release in found.values()],
        ledger=ledger_page(ledger.history(subject.name, FIRST_PAGE + 1), FIRST_PAGE),
    )
