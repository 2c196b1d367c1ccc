"""What a request to Dagster's GraphQL would change, by the words of the request itself.

Dagster's own permissions decide the same a second time. Add here what everybody may do although GraphQL calls it a
mutation. Keep out who is asking.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from graphql import DocumentNode, FieldNode, FragmentSpreadNode, GraphQLError, OperationType, SelectionSetNode, parse
from graphql.language import FragmentDefinitionNode, InlineFragmentNode, OperationDefinitionNode

LONGEST_QUERY = 200_000
MOST_TOKENS = 20_000
LONGEST_NAME = 100
# Only that a greeting was seen.
FOR_EVERYBODY = frozenset({"setNuxSeen"})


class UnreadableError(ValueError):
    """The request isn't GraphQL as Dagster's pages send it; the message says what is wrong."""


@dataclass(frozen=True)
class Asked:
    """Which fields of Dagster's mutations a request names, sorted, and what the client calls it. None: it reads."""

    mutations: tuple[str, ...]
    operation: str | None

    @property
    def for_everybody(self) -> bool:
        """Whether everybody may ask for it who may see Dagster at all."""
        return FOR_EVERYBODY.issuperset(self.mutations)


def asked(body: bytes) -> Asked:
    """What a body of JSON asks for: all of its operations, whichever of them it wants to be run.

    Raises:
        UnreadableError: it isn't JSON with a query, or the query isn't GraphQL, or it is too large.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("the body isn't valid JSON") from None
    query = given.get("query") if isinstance(given, dict) else None
    if not isinstance(query, str):
        raise UnreadableError('the body must be JSON like {"query": "…", "variables": {…}}')
    if len(query) > LONGEST_QUERY:
        raise UnreadableError(f"the query has more than {LONGEST_QUERY} characters")
    mutations, named = _of_query(query)
    if not mutations:
        return Asked((), None)
    chosen = given.get("operationName")
    operation = chosen if isinstance(chosen, str) and chosen in named else next(iter(named), None)
    return Asked(mutations, operation[:LONGEST_NAME] if operation else None)


# Pages ask the same few questions again and again; what differs is in the variables.
@lru_cache(maxsize=256)
def _of_query(query: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The mutations' fields, and the names of the operations that hold them."""
    try:
        document = parse(query, no_location=True, max_tokens=MOST_TOKENS)
    except (GraphQLError, RecursionError):
        raise UnreadableError("the query isn't valid GraphQL, or too large") from None
    found: set[str] = set()
    names = []
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.MUTATION:
            found |= _fields(document, definition.selection_set, set())
            names.append(definition.name.value if definition.name else "")
    return tuple(sorted(found)), tuple(name for name in names if name)


def _fields(document: DocumentNode, selection: SelectionSetNode, seen: set[str]) -> set[str]:
    """Names of a selection's own fields, not of theirs; also those that come from fragments. Never empty."""
    found: set[str] = set()
    for node in selection.selections:
        if isinstance(node, FieldNode):
            found.add(node.name.value)
        elif isinstance(node, InlineFragmentNode):
            found |= _fields(document, node.selection_set, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            for other in document.definitions:
                if isinstance(other, FragmentDefinitionNode) and other.name.value == node.name.value:
                    found |= _fields(document, other.selection_set, seen)
    return found or {"unknown"}
