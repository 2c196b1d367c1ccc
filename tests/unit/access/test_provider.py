"""Who somebody is by a provider's claims: roles by groups, names that mislead nobody, subjects that stay theirs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.access.provider import LONGEST_NAME, NoRoleError, RoleRules, caller_of, name_of
from mlops_assets.access.roles import AccessError, Kind, Role

RULES = RoleRules.parse("groups", "ml-ops=operator ml=editor data%20team=viewer cn=ml,dc=org=editor")


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["ml-ops"], Role.OPERATOR),
        (["ml", "ml-ops", "sales"], Role.OPERATOR),
        (["data team", "ml"], Role.EDITOR),
        ("ml", Role.EDITOR),
        (["cn=ml,dc=org"], Role.EDITOR),
        (["ML-OPS"], None),
        ("ml-ops ml", None),
        ([], None),
        (None, None),
        ([["ml-ops"], 7, None], None),
        ({"ml-ops": True}, None),
    ],
)
def test_the_role_is_the_largest_of_all_groups(groups: Any, role: Role | None) -> None:
    assert RULES.role({"groups": groups}) is role


def test_the_default_role_raises_those_below_it_and_nobody_else() -> None:
    rules = RoleRules.parse("groups", "ml-ops=operator guests=viewer", "editor")
    assert rules.role({}) is Role.EDITOR
    assert rules.role({"groups": ["guests"]}) is Role.EDITOR
    assert rules.role({"groups": ["ml-ops"]}) is Role.OPERATOR


def test_a_claim_may_be_inside_others_or_have_dots_in_its_name() -> None:
    nested = RoleRules.parse("realm_access.roles", "ml=editor")
    assert nested.role({"realm_access": {"roles": ["ml"]}}) is Role.EDITOR
    assert nested.role({"realm_access": ["roles"]}) is None
    named = RoleRules.parse("https://example.org/roles", "ml=editor")
    assert named.role({"https://example.org/roles": ["ml"]}) is Role.EDITOR


def test_a_group_named_twice_has_the_larger_role() -> None:
    for text in ("ml=viewer ml=operator", "ml=operator ml=viewer"):
        assert RoleRules.parse("groups", text).role({"groups": ["ml"]}) is Role.OPERATOR


def test_who_has_no_role_is_refused_by_name() -> None:
    with pytest.raises(NoRoleError, match=r"eve@example\.org"):
        caller_of({"sub": "1", "email": "eve@example.org"}, RULES)


@pytest.mark.parametrize("subject", [None, "", 7, "x" * 256, "a\nb", "\0"])
def test_a_subject_that_can_not_be_kept_is_refused(subject: Any) -> None:
    with pytest.raises(AccessError, match="sub"):
        caller_of({"sub": subject, "groups": ["ml"]}, RULES)


def test_two_people_of_one_name_are_two_callers() -> None:
    one, other = (caller_of({"sub": sub, "name": "Kim", "groups": "ml"}, RULES) for sub in ("1", "2"))
    assert (one.name, one.kind) == (other.name, Kind.OIDC)
    assert one.id != other.id


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "kim@example.org", "preferred_username": "kim"}, "kim@example.org"),
        ({"email": "boss@example.org", "email_verified": False, "preferred_username": "kim"}, "kim"),
        ({"email": " ", "name": "Kim"}, "Kim"),
        ({"name": "a\x1b[2J\u202eb"}, "a[2Jb"),
        ({"name": "Operator"}, "Operator (oidc)"),
        ({"name": "\n", "sub": "17"}, "17"),
        ({}, "unnamed"),
    ],
)
def test_people_are_called_what_the_provider_vouches_for(claims: dict[str, Any], name: str) -> None:
    assert name_of(claims) == name


@given(st.dictionaries(st.sampled_from(["email", "preferred_username", "name", "sub"]), st.text(max_size=200)))
def test_a_name_can_always_be_shown_and_kept(claims: dict[str, str]) -> None:
    name = name_of(claims)
    assert name.isprintable()
    assert 0 < len(name) <= LONGEST_NAME + len(" (oidc)")
    name.encode()


def test_other_rules_have_another_mark() -> None:
    marks = {
        rules.mark(issuer, client)
        for rules in (RULES, RoleRules.parse("groups", "ml=editor"), RoleRules.parse("roles", "ml=editor"))
        for issuer in ("https://a", "https://b")
        for client in ("1", "2")
    }
    assert len(marks) == 12
    assert RoleRules.parse("groups", "a=editor b=viewer").mark("i", "c") == (
        RoleRules.parse("groups", "b=viewer a=editor").mark("i", "c")
    )
