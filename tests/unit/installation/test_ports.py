"""Ports: free or taken, by whom, and what a person is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from mlops_assets.installation.ports import PortTakenError, answers, is_free, refuse_taken


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_listening_port_is_not_free_and_answers(taken: int) -> None:
    assert not is_free("127.0.0.1", taken)
    assert answers("127.0.0.1", taken)


def test_a_closed_port_is_free_again_at_once_and_silent() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            pass
    assert is_free("127.0.0.1", port)
    assert not answers("127.0.0.1", port)


def test_the_refusal_names_port_program_holder_and_way_out(taken: int) -> None:
    with pytest.raises(PortTakenError) as refused:
        refuse_taken("127.0.0.1", {"MLflow": taken})
    words = str(refused.value)
    assert str(taken) in words
    assert "MLflow" in words
    assert str(os.getpid()) in words
    assert "MLOPS_PORT_OFFSET" in words


def test_every_taken_port_is_named_at_once(taken: int) -> None:
    with socket.socket() as second:
        second.bind(("127.0.0.1", 0))
        second.listen()
        other = second.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"{taken}.*{other}"):
            refuse_taken("127.0.0.1", {"A": taken, "B": other})
