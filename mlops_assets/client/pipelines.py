"""The client's calls about pipelines, their versions and templates.

Add a call here when the API has a new route about pipelines. Keep out runs and what they leave (`runs`, `artifacts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlops_assets.api.pipelines.schemas import (
    PipelineDetail,
    PipelinePage,
    PipelineView,
    Rendered,
    Templates,
    TemplateView,
    Validation,
    Versions,
    VersionView,
)
from mlops_assets.client.connection import Connection, Sent, as_json, fresh_key, given, path, read
from mlops_assets.client.documents import Document, Spec, document
from mlops_assets.client.errors import ApiError, ConflictError, NotFoundError, PreconditionError
from mlops_assets.client.paging import every

APPLY_TRIES = 3

PipelineOrder = Literal["name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"]


@dataclass(frozen=True)
class Applied:
    """What `apply` did. `before` is the newest version before it, None for a new pipeline."""

    change: Literal["created", "updated", "unchanged"]
    pipeline: PipelineDetail
    before: int | None


class PipelineCalls:
    """Pipelines by their name or id. Every call raises ApiError, or the subclass that says more."""

    _connection: Connection

    def pipelines(
        self,
        *,
        q: str | None = None,
        active: bool | None = None,
        deployed: bool | None = None,
        tags: Iterable[str] = (),
        sort: PipelineOrder = "name",
    ) -> Iterator[PipelineView]:
        """Every pipeline that fits, read page by page. `q` is a part of name or title, a tag `key` or `key=value`."""
        asked = given(q=q, active=active, deployed=deployed, tag=list(tags) or None, sort=sort)
        return every(lambda part: self._connection.get(PipelinePage, "pipelines", {**asked, **part}))

    def pipeline(self, name_or_id: str, version: int | None = None) -> PipelineDetail:
        """One pipeline with its newest version's spec, or that of the asked version."""
        return self._connection.get(PipelineDetail, path("pipelines", name_or_id), given(version=version))

    def create(self, spec: Spec, *, deploy: bool = True, key: str | None = None) -> PipelineDetail:
        """Store a new pipeline, a mapping, YAML text or a file, and deploy it.

        The same `key` again changes nothing and answers the same; without one, each call has its own.

        Raises:
            ConflictError: the name is taken. ValidationError: refused; `problems` says why.
        """
        return self._create(document(spec), deploy, key)

    def update(
        self, name_or_id: str, spec: Spec, *, revision: int | None = None, deploy: bool = True
    ) -> PipelineDetail:
        """Store a new version, unless the spec is the newest version's. Without `revision`, over the present one.

        Raises:
            PreconditionError: the pipeline has another revision than the given one.
        """
        found = revision if revision is not None else self.pipeline(name_or_id).revision
        return self._update(name_or_id, document(spec), found, deploy)

    def apply(self, spec: Spec, *, deploy: bool = True) -> Applied:
        """Make the pipeline of this name what the spec says: create it, or add a version if anything differs."""
        sent = document(spec)
        if sent.name is None:  # the API says best what is wrong
            return Applied("created", self._create(sent, deploy, None), None)
        failed: ApiError | None = None
        for _ in range(APPLY_TRIES):
            try:
                return self._applied(sent.name, sent, deploy)
            except (ConflictError, PreconditionError, NotFoundError) as error:
                failed = error  # somebody else created, changed or deleted it in between, or it can't be
        assert failed is not None
        raise failed

    def validate(self, spec: Spec) -> Validation:
        """Whether a pipeline would be taken, with every problem if not. Nothing is stored."""
        sent = document(spec)
        order = Sent("POST", "pipelines/validate", content=sent.content, media_type=sent.media_type)
        return read(Validation, self._connection.request(order))

    def delete(self, name_or_id: str, *, revision: int | None = None) -> None:
        """Delete a pipeline; its runs stay readable. ConflictError: it has active runs."""
        self._connection.request(Sent("DELETE", path("pipelines", name_or_id), headers=_if_match(revision)))

    def deploy(self, name_or_id: str, version: int | None = None) -> PipelineDetail:
        """Let runs start with this version, the newest without one; an older one is a rollback."""
        return self._act(name_or_id, "deploy", given(version=version))

    def pause(self, name_or_id: str) -> PipelineDetail:
        """Stop the schedule."""
        return self._act(name_or_id, "pause", {})

    def resume(self, name_or_id: str) -> PipelineDetail:
        """Let the schedule go on."""
        return self._act(name_or_id, "resume", {})

    def versions(self, name_or_id: str) -> list[VersionView]:
        """Every version, newest first."""
        return self._connection.get(Versions, path("pipelines", name_or_id, "versions")).items

    def yaml(self, name_or_id: str, version: int | None = None) -> str:
        """A version as YAML that comes back as it was; the newest unless asked."""
        asked = Sent("GET", path("pipelines", name_or_id, "yaml"), given(version=version))
        return self._connection.request(asked).content.decode("utf-8", "replace")

    def templates(self) -> list[TemplateView]:
        """Every template, by name."""
        return self._connection.get(Templates, "templates").items

    def template(self, name: str) -> TemplateView:
        """One template with its parameters."""
        return self._connection.get(TemplateView, path("templates", name))

    def render(self, template: str, name: str, parameters: Mapping[str, Any] | None = None) -> Rendered:
        """The pipeline of this name that a template makes. Nothing is stored."""
        content = as_json({"name": name, "parameters": dict(parameters or {})}, "the parameters")
        return read(
            Rendered, self._connection.request(Sent("POST", path("templates", template, "render"), content=content))
        )

    def _create(self, sent: Document, deploy: bool, key: str | None) -> PipelineDetail:
        order = Sent(
            "POST",
            "pipelines",
            _deployed(deploy),
            sent.content,
            sent.media_type,
            key=key if key is not None else fresh_key(),
        )
        return read(PipelineDetail, self._connection.request(order))

    def _update(self, name_or_id: str, sent: Document, revision: int, deploy: bool) -> PipelineDetail:
        where, headers = path("pipelines", name_or_id), _if_match(revision)
        order = Sent("PUT", where, _deployed(deploy), sent.content, sent.media_type, headers)
        return read(PipelineDetail, self._connection.request(order))

    def _applied(self, name: str, sent: Document, deploy: bool) -> Applied:
        try:
            present = self.pipeline(name)
        except NotFoundError:
            return Applied("created", self._create(sent, deploy, None), None)
        changed = self._update(present.id, sent, present.revision, deploy)
        same = (present.version, present.deployed_version) == (changed.version, changed.deployed_version)
        return Applied("unchanged" if same else "updated", changed, present.version)

    def _act(self, name_or_id: str, action: str, order: Mapping[str, Any]) -> PipelineDetail:
        sent = Sent("POST", path("pipelines", name_or_id, action), content=as_json(dict(order), action))
        return read(PipelineDetail, self._connection.request(sent))


def _deployed(deploy: bool) -> dict[str, str]:
    return {"deploy": "true" if deploy else "false"}


def _if_match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}
