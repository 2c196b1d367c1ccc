"""Channels from the settings and the file; a fault names the entry and never the address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.notifications.channels import Channel, ChannelError, load
from mlops_assets.notifications.notice import Kind, Severity
from mlops_assets.settings import Settings
from tests.unit.notifications.made_notice import made

SECRET = "T0pS3cretT0ken"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    return tmp_path


def write(home: Path, text: str, mode: int = 0o600) -> Settings:
    file = home / "secrets" / "channels.yaml"
    file.write_text(text)
    file.chmod(mode)
    return Settings(home=home)


def fault(settings: Settings) -> str:
    with pytest.raises(ChannelError) as error:
        load(settings)
    text = "".join(str(part) for part in (error.value, error.value.__cause__))
    assert SECRET not in text, "an error shows the address"
    return text


def test_nothing_is_declared_at_first(home: Path) -> None:
    assert load(Settings(home=home)) == []
    assert load(write(home, "")) == []


def test_addresses_of_the_settings_are_named_by_scheme_and_place(home: Path) -> None:
    settings = Settings(home=home, notify_urls=f"slack://a/b/{SECRET}\n  mailtos://u:{SECRET}@gmail.com")
    assert [(c.name, c.scheme, c.least) for c in load(settings)] == [
        ("slack-1", "slack", Severity.INFO),
        ("mailtos-2", "mailtos", Severity.INFO),
    ]
    assert SECRET not in repr(load(settings)) + repr(settings)


def test_the_file_says_what_each_channel_wants(home: Path) -> None:
    text = f"""
- name: on call
  url: pagerduty://{SECRET}@key
  least: critical
- name: team
  url: json://host/{SECRET}
  kinds: [promotion, drift]
"""
    call, team = load(write(home, text))
    assert (call.name, call.least, call.kinds) == ("on call", Severity.CRITICAL, frozenset(Kind))
    assert team.kinds == {Kind.PROMOTION, Kind.DRIFT}


def test_a_file_that_others_may_read_is_refused(home: Path) -> None:
    said = fault(write(home, f"- {{name: a, url: 'json://h/{SECRET}'}}", mode=0o640))
    assert "0640" in said
    assert "chmod 600" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"- {{name: a, url: '{SECRET}'}}", "entry 1 (a): not an address"),
        (f"- {{name: a, url: 'json://h'}}\n- {{name: b, url: 'http {SECRET}'}}", "entry 2 (b): not an address"),
        (f"- {{name: a, adress: 'json://h/{SECRET}'}}", "a field that isn't known: 'adress'"),
        (f"- {{name: a, 'json://h/{SECRET}': url}}", "a field that isn't known: one"),
        (f"- {{name: a, url: 'json://h/{SECRET}', kinds: [promotions]}}", "kinds: all, or a list of candidate"),
        (f"- {{name: a, url: 'json://h/{SECRET}', least: urgent}}", "least: Input should be"),
        (f"- {{name: 'a/b', url: 'json://h/{SECRET}'}}", "name: "),
        (f"- {{url: 'json://h/{SECRET}'}}", "name: Field required"),
        (f"- {{name: a, url: [json://h/{SECRET}]}}", "url: "),
        (f"- json://h/{SECRET}", "entry 1: must have name and url"),
        (f"a: json://h/{SECRET}", "must be a list"),
        (f"- {{name: a, url: json://h/{SECRET}", "line 1: not YAML"),
        (f"- name: a\n  url: 'json://h/{SECRET}\n", ": not YAML"),
        (f"- !!python/object:os.system {{url: 'json://h/{SECRET}'}}", "line 1: not YAML"),
        (f"- {{name: a, url: 'json://h/{SECRET}'}}\n- {{name: a, url: 'json://h'}}", "two channels are called a"),
    ],
)
def test_a_fault_names_its_entry_and_never_the_address(home: Path, text: str, expected: str) -> None:
    assert expected in fault(write(home, text))


def test_a_fault_in_the_settings_names_its_place(home: Path) -> None:
    said = fault(Settings(home=home, notify_urls=f"json://h slack:/{SECRET}"))
    assert said.startswith("MLOPS_NOTIFY_URLS, entry 2: not an address")


def test_a_file_that_is_no_text_or_can_not_be_read_is_a_fault(home: Path) -> None:
    (home / "secrets" / "channels.yaml").write_bytes(b"\xff\xfe\x00")
    (home / "secrets" / "channels.yaml").chmod(0o600)
    assert "not YAML" in fault(Settings(home=home))
    (home / "secrets" / "channels.yaml").unlink()
    (home / "secrets" / "channels.yaml").mkdir()
    assert "directory" in fault(Settings(home=home))


@pytest.mark.parametrize(
    ("kinds", "least", "notice", "wanted"),
    [
        (set(Kind), Severity.INFO, made(), True),
        (set(Kind), Severity.CRITICAL, made(), False),
        ({Kind.DRIFT}, Severity.INFO, made(), False),
        (set(Kind), Severity.CRITICAL, made(kind=Kind.UNHEALTHY, severity=Severity.CRITICAL), True),
        (set(Kind), Severity.CRITICAL, made(kind=Kind.RECOVERED, severity=Severity.INFO), True),
        (set(Kind) - {Kind.RECOVERED}, Severity.INFO, made(kind=Kind.RECOVERED), False),
    ],
)
def test_a_channel_is_told_what_it_wants(kinds: set[Kind], least: Severity, notice: object, wanted: bool) -> None:
    assert Channel("c", "json://h", frozenset(kinds), least).wants(notice) is wanted


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"json://kim:{SECRET}@host/x", f"401 for kim:{SECRET}"),
        (f"json://host/hooks/{SECRET}", f"/hooks/{SECRET} not found"),
        (f"json://host/?+Authorization=Bearer%20{SECRET}", f"header Bearer {SECRET}"),
        (f"mailto://host?user=kim&pass={SECRET}%21", f"535 {SECRET}! refused"),
        (f"slack://{SECRET}/b/c", f"https://hooks.slack.com/services/{SECRET}/b/c"),
        ("json://kim:pw@host/x", "wrong password 'pw'"),
        ("mailtos://kim:p@ss:w/rd@host.com", "login with p@ss:w/rd failed"),
    ],
)
def test_nothing_of_an_address_is_left_in_an_error(url: str, said: str) -> None:
    shown = Channel("c", url).hide(said)
    for secret in (SECRET, "'pw'", "p@ss", "ss:w/rd"):
        assert secret not in shown
    assert "***" in shown


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters=" \t\r\n*", min_codepoint=33), min_size=1))
def test_no_password_survives_whatever_its_letters(password: str) -> None:
    channel = Channel("c", f"json://kim:{quote(password, safe='')}@host/path")
    assert password not in channel.hide(password)
    assert password not in channel.hide(f"{password} {quote(password, safe='')}")
