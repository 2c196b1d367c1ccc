"""The gateway's headers: good values are kept, bad ones are nothing, a user's name is never kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.caller import Caller, caller_of
from inference.keys import KeyFileError, UserHashes, identifier_hash, read_key

KEY = bytes(range(32))
USERS = UserHashes(KEY)


def read(**headers: bytes) -> Caller:
    return caller_of([(name.replace("_", "-").encode(), value) for name, value in headers.items()], USERS)


def test_good_headers_are_kept_and_the_user_is_hashed() -> None:
    found = read(
        x_user_id=b" ada@example.org ", x_mlops_assigned=b"candidate", x_mlops_rollout=b"12", x_mlops_step=b"0",
        x_request_id=b"7b5a2b64-3d1c", x_forwarded_for=b"10.1.2.3",
    )  # fmt: skip
    expected = Caller(USERS.of(b"ada@example.org"), "candidate", 12, 0, "7b5a2b64-3d1c", found.trace_id)
    assert found == expected
    assert found.user is not None
    assert len(bytes.fromhex(found.user)) == 16
    assert "10.1.2.3" not in repr(found)


def test_hash_depends_on_user_and_key_and_nothing_else() -> None:
    assert USERS.of(b"ada") == UserHashes(KEY).of(b"ada")
    assert len({USERS.of(b"ada"), USERS.of(b"Ada"), UserHashes(KEY[::-1]).of(b"ada")}) == 3


@pytest.mark.parametrize("user", [None, b"", b"   ", b"x" * 257])
def test_no_user(user: bytes | None) -> None:
    assert USERS.of(user) is None


def test_longest_user() -> None:
    assert USERS.of(b"x" * 256) is not None


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("x_mlops_assigned", b"standby", "assigned"), ("x_mlops_assigned", b"Production", "assigned"),
        ("x_mlops_rollout", b"-1", "rollout"), ("x_mlops_rollout", b"1.0", "rollout"),
        ("x_mlops_rollout", b"9" * 10, "rollout"), ("x_mlops_step", b"", "step"),
        ("x_mlops_step", "²".encode("latin-1"), "step"), ("x_request_id", b"a\nb", "request_id"),
        ("x_request_id", b"x" * 129, "request_id"), ("x_request_id", b"\xff", "request_id"),
    ],
)  # fmt: skip
def test_bad_values_are_nothing(name: str, value: bytes, field: str) -> None:
    assert getattr(read(**{name: value}), field) is None


@given(st.lists(st.tuples(
    st.sampled_from([b"x-user-id", b"x-mlops-assigned", b"x-mlops-rollout", b"x-mlops-step", b"x-request-id"]),
    st.binary(max_size=300),
)))  # fmt: skip
def test_any_headers_can_be_read(headers: list[tuple[bytes, bytes]]) -> None:
    found = caller_of(headers, USERS)
    assert found.rollout is None or found.rollout >= 0
    assert found.assigned in (None, "production", "candidate", "forced")


def test_purposes_of_the_key_are_apart() -> None:
    assert identifier_hash(KEY, "homes").hexdigest() != UserHashes(KEY).of(b"homes\0")


def test_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY.hex() + "\n")
    assert read_key(path) == KEY
    for bad in ("", "ab", KEY.hex() + "00", "g" * 64):
        path.write_text(bad)
        with pytest.raises(KeyFileError, match="64 hexadecimal digits") as caught:
            read_key(path)
        assert bad == "" or bad not in str(caught.value)
    with pytest.raises(KeyFileError, match="No such file"):
        read_key(tmp_path / "none")
