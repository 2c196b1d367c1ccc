"""Frames between the fork server and its clients: bounds, garbage, half messages."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlops_assets.runs.protocol import (
    MAX_FRAME_BYTES,
    REQUESTS,
    Launch,
    Ping,
    ProtocolError,
    checked_socket_path,
    decode,
    encode,
    private_directory,
)


@given(run_id=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), ref=st.text(max_size=300))
def test_a_launch_survives_the_wire(run_id: str, ref: str) -> None:
    request = Launch(run_id=run_id, instance_ref=ref)
    assert REQUESTS.validate_python(decode(encode(request))) == request


@given(cut=st.integers(min_value=0, max_value=1000))
def test_a_partial_frame_is_waited_for(cut: int) -> None:
    frame = encode(Launch(run_id="r", instance_ref="x" * 50))
    assert decode(frame[: min(cut, len(frame) - 1)]) is None


@given(st.binary(min_size=4, max_size=200))
def test_garbage_is_waited_for_or_refused_but_never_accepted(data: bytes) -> None:
    try:
        body = decode(data)
    except ProtocolError:
        return
    if body is not None:
        with pytest.raises(ValidationError):
            REQUESTS.validate_python(body)


def test_an_oversized_announcement_is_refused_before_its_body_arrives() -> None:
    with pytest.raises(ProtocolError, match="announced"):
        decode(struct.pack("!I", MAX_FRAME_BYTES + 1))


def test_an_oversized_message_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="limit"):
        encode(Launch(run_id="r", instance_ref="x" * MAX_FRAME_BYTES))


def test_bytes_after_the_frame_are_refused() -> None:
    with pytest.raises(ProtocolError, match="1 bytes after"):
        decode(encode(Ping()) + b"x")


@pytest.mark.parametrize("run_id", ["", "../up", "a b", "x" * 65, "a\n"])
def test_a_run_id_is_a_plain_word(run_id: str) -> None:
    with pytest.raises(ValidationError, match="run_id"):
        Launch(run_id=run_id, instance_ref="{}")


def test_unknown_types_and_fields_are_refused() -> None:
    for body in ({"type": "exec"}, {"type": "ping", "more": 1}, json.loads("[]"), None):
        with pytest.raises(ValidationError):
            REQUESTS.validate_python(body)


def test_a_long_socket_path_is_refused_with_its_length(tmp_path: Path) -> None:
    longest = "/" + "s" * 106
    assert checked_socket_path(longest) == longest
    with pytest.raises(ValueError, match=r"108 bytes long.*107"):
        checked_socket_path(longest + "s")


def test_the_length_counts_bytes_not_letters() -> None:
    with pytest.raises(ValueError, match="bytes long"):
        checked_socket_path("/" + "é" * 60)


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    os.chmod(folder, 0o755)
    with pytest.raises(PermissionError, match="open must belong to this user"):
        private_directory(folder)
    assert private_directory(tmp_path / "new" / "deep").stat().st_mode & 0o077 == 0
