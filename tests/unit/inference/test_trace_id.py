"""Which trace a request belongs to: the client's own if it is a right one, else the gateway's request, else chance."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.trace_id import Parent, parent_of, trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
REQUEST = b"7b5a2b64-3d1c-4f0e-9a51-0d3a2d1f5c11"

Headers = list[tuple[bytes, bytes]]


def of(headers: Headers) -> str:
    return trace_id_of(dict(headers), headers)


def test_the_parents_trace_comes_first_then_the_request_then_chance() -> None:
    assert of([(b"x-request-id", REQUEST), (b"traceparent", PARENT)]) == TRACE
    assert of([(b"x-request-id", REQUEST)]) == REQUEST.replace(b"-", b"").decode()
    assert of([]) != of([])


def test_two_parents_are_none_even_if_they_are_equal() -> None:
    twice = [(b"traceparent", PARENT), (b"traceparent", PARENT), (b"x-request-id", REQUEST)]
    assert of(twice) == REQUEST.replace(b"-", b"").decode()


@pytest.mark.parametrize(
    "request_id", [b"", b"0" * 32, b"0-0", b"00000000-0000-0000-0000-000000000000", REQUEST.upper()]
)
def test_a_request_id_that_the_gateway_never_gives_is_not_taken(request_id: bytes) -> None:
    given = [(b"x-request-id", request_id)]
    assert of(given) != of(given)


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("02", False), ("ff", True)])
def test_of_the_flags_only_the_lowest_bit_says_that_the_trace_is_told(flags: str, sampled: bool) -> None:
    assert parent_of(f"00-{TRACE}-{SPAN}-{flags}".encode()) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        b"", PARENT + b" ", PARENT[:-1], PARENT.upper(), PARENT.replace(b"-", b"_"), PARENT + b"-00",
        PARENT + b"\n", b"ff" + PARENT[2:], b"\xff" * 55,
        f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode(),
    ],
)  # fmt: skip
def test_what_is_not_quite_a_parent_is_none(header: bytes) -> None:
    assert parent_of(header) is None


@given(st.lists(st.tuples(st.sampled_from([b"traceparent", b"x-request-id"]), st.binary(max_size=80)), max_size=4))
def test_whatever_comes_in_the_log_gets_32_hexadecimal_digits(headers: Headers) -> None:
    assert re.fullmatch("[0-9a-f]{32}", of(headers))


@given(st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_a_parent_of_the_right_form_is_taken_unless_an_id_is_zero(header: bytes) -> None:
    version, trace, span, _ = header.decode().split("-")
    taken = version != "ff" and bool(int(trace, 16)) and bool(int(span, 16))
    found = parent_of(header)
    assert (found is not None) == taken
    assert found is None or (found.trace_id, found.span_id) == (trace, span)
