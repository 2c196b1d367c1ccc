"""`mlops pipeline …`: what it sends, what it shows, and its exit codes."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner, Result

from mlops_assets import cli
from mlops_assets.cli.pipeline import app
from mlops_assets.cli.pipeline_access import opened
from mlops_assets.cli.pipeline_watch import Watch
from mlops_assets.client import ClientError, ConflictError, NotFoundError
from tests.unit.client.fake_api import (
    AT,
    TOKEN,
    URL,
    Broken,
    FakeApi,
    artifact,
    detail,
    event,
    line,
    ok,
    pipeline,
    problem,
    run,
    stage,
)

CYCLE = {"field": "stages.train.dependencies", "message": "a cycle"}
ERROR = {"type": "ValueError", "message": "no rows\nat all", "traceback": "Traceback\n  in run\nValueError", "line": 3}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("MLOPS_TOKEN", "MLOPS_URL"):
        monkeypatch.delenv(name, raising=False)


def mlops(api: FakeApi, *arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=api.opened, input=input)


def shown(done: Result) -> str:
    """What a command that went well has printed."""
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.output


def page(*items: dict[str, Any]) -> httpx.Response:
    return ok({"items": list(items), "total": len(items), "limit": 200, "offset": 0, "next_cursor": None})


def test_the_list_fits_a_terminal_and_shows_the_state_of_each() -> None:
    names = [f"{'long_' * 10}{number}" for number in range(3)]
    api = FakeApi().on(
        "GET pipelines",
        page(
            pipeline(names[0], schedule="*/15 2-4 * * 1-5", next_run_at=AT, owner="a-team-with-a-name@example.com"),
            pipeline(names[1], active=False, version=3, deployed_version=2),
            pipeline(names[2], load_error="No module named x"),
            pipeline("stored", deployed_version=None),
        ),
    )
    words = shown(mlops(api, "list"))
    assert all(len(one) <= 100 for one in words.splitlines())
    assert "2025-03-01 12:00" in words
    for state in ("active", "paused", "not loaded", "not deployed", "3 (runs 2)"):
        assert state in words


def test_an_empty_list_says_how_to_begin() -> None:
    api = FakeApi().on("GET pipelines", page())
    assert "mlops pipeline templates" in shown(mlops(api, "list"))
    assert "none fits" in shown(mlops(api, "list", "x"))


def test_texts_of_others_move_no_cursor_and_set_no_colour() -> None:
    nasty = "\x1b[2J\x1b]0;title\x07[red]bold[/red]\u202e\r"
    api = FakeApi()
    api.on("GET pipelines", page(pipeline("a", owner=nasty)))
    api.on("GET pipelines/a", ok(pipeline("a", title=nasty, description=nasty, tags={"x": nasty}, load_error=nasty)))
    api.on("GET runs", page(run(triggered_by=nasty, pipeline=nasty)))
    failed = stage("train", "FAILED", error={**ERROR, "message": nasty, "traceback": nasty})
    api.on("GET runs/r1", ok(detail("r1", "FAILED", failed, notes=nasty, error=nasty, environment=nasty)))
    api.on("GET artifacts", page(artifact(name=nasty)))
    log = {"stage": "train", "attempt": 1, "lines": [line(1, nasty)], "ended": True}
    api.on("GET runs/r1/stages/train/logs", ok(log), ok({**log, "lines": []}))
    ends = event("stage", failed) + event("log", line(1, nasty, stage="train", attempt=1)) + event("end", {})
    api.on("GET runs/r1/events", lambda _: httpx.Response(200, stream=Broken([ends], None)))
    api.on("POST pipelines/a/runs", ok(run(), 201))
    for command in ("list", "show a", "runs", "status r1", "artifacts", "logs r1 train", "run a --follow --logs"):
        words = mlops(api, *command.split()).output
        assert "[red]" in words, command
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(words), command


def test_a_pipeline_is_shown_with_its_stages_and_parameters() -> None:
    declared = {"rows": {"type": "integer", "default": 10, "description": "How many"}, "file": {"required": True}}
    api = FakeApi().on("GET pipelines/two_stage", ok(pipeline(spec={"parameters": declared}, title="Two stages")))
    words = shown(mlops(api, "show", "two_stage", "--version", "1"))
    assert api.requests[0].url.params["version"] == "1"
    for part in (
        "two_stage: Two stages",
        "MODEL_TRAINING",
        "prepare",
        "How many",
        "required",
        "2025-03-01 12:00 UTC by kim",
    ):
        assert part in words


def test_validation_names_stage_and_field_and_fails(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    wrong = [{"stage": "train", "field": "source", "message": "doesn't compile"}]
    api = FakeApi().on(
        "POST pipelines/validate",
        ok({"valid": True, "problems": [], "order": ["prepare", "train"]}),
        ok({"valid": False, "problems": wrong, "order": []}),
    )
    done = mlops(api, "validate", str(tmp_path))
    assert done.exit_code == 1
    assert len(api.requests) == 2
    assert all(part in done.output for part in ("prepare → train", "train", "source", "doesn't compile"))
    api.on("POST pipelines/validate", ok({"valid": True, "problems": [], "order": ["a"]}))
    assert mlops(api, "validate", str(tmp_path / "a.yaml")).exit_code == 0


def test_a_folder_is_applied_file_by_file_and_one_refusal_stops_none(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n")
    api = FakeApi()
    api.on("GET pipelines/a", problem(404)).on("POST pipelines", ok(pipeline("a"), 201))
    api.on("GET pipelines/b", ok(pipeline("b"))).on("PUT pipelines/id-b", problem(422, "a cycle", errors=[CYCLE]))
    api.on("GET pipelines/c", ok(pipeline("c")))
    api.on("PUT pipelines/id-c", ok(pipeline("c", version=2, deployed_version=2)))
    done = mlops(api, "apply", str(tmp_path))
    assert done.exit_code == 1
    assert "a: created, version 1, deployed" in done.stdout
    assert "c: updated, version 2 (was 1), deployed" in done.stdout
    assert "b.yaml" in done.stderr
    assert next(one for one in done.stderr.splitlines() if "a cycle" in one).split()[:2] == ["train", "dependencies"]
    (tmp_path / "b.yaml").unlink()
    assert mlops(api, "apply", str(tmp_path)).exit_code == 0


def test_an_api_that_is_away_ends_apply_at_the_first_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n")
    api = FakeApi().on("GET pipelines/a", httpx.ConnectError("refused"))
    done = mlops(api, "apply", str(tmp_path))
    assert isinstance(done.exception, ClientError)


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    done = mlops(FakeApi(), "apply", str(tmp_path))
    assert isinstance(done.exception, ClientError)
    assert str(tmp_path) in str(done.exception)


def test_deleting_asks_first_and_deletes_what_was_shown() -> None:
    api = FakeApi().on("GET pipelines/a", ok(pipeline("a", revision=4)))
    api.on("DELETE pipelines/id-a", httpx.Response(204))
    assert mlops(api, "delete", "a", input="n\n").exit_code == 1
    assert not api.sent("DELETE pipelines/id-a")
    assert "a is deleted" in shown(mlops(api, "delete", "a", "--yes"))
    assert api.sent("DELETE pipelines/id-a")[0].headers["if-match"] == '"4"'


def test_a_run_is_started_with_text_json_and_a_file_of_parameters(tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("rows: 5\nnames: [a]\nkept: true\n")
    api = FakeApi().on("POST pipelines/a/runs", ok(run("r7"), 201))
    options = ["-p", "rows=10", "-p", 'names:=["b", 1]', "-p", "url=http://x?a=b", "--param-file", str(given)]
    done = mlops(api, "run", "a", *options, "--env", "test", "--note", "why", "--tag", "team=x")
    assert shown(done) == "r7\n"
    assert api.bodies("POST pipelines/a/runs") == [
        {
            "parameters": {"rows": "10", "names": ["b", 1], "kept": True, "url": "http://x?a=b"},
            "environment": "test",
            "tags": {"team": "x"},
            "notes": "why",
            "trigger": "MANUAL",
        }
    ]


@pytest.mark.parametrize(
    "option",
    [["-p", "rows"], ["-p", "=1"], ["-p", ":=1"], ["-p", "rows:=[1"], ["--tag", "x"], ["--tag", "=y"]],
)  # fmt: skip
def test_what_is_no_key_and_value_starts_nothing(option: list[str]) -> None:
    api = FakeApi()
    done = mlops(api, "run", "a", *option)
    assert done.exit_code == 2
    assert option[1] in done.output
    assert not api.requests


@pytest.mark.parametrize("content", [b"- a\n", b"a: [", b"1: 2\n", b"\xff\xfe\xff", b"", b"a: !!python/object:os.x {}"])
def test_a_file_without_parameters_starts_nothing(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "given.yaml"
    given.write_bytes(content)
    api = FakeApi()
    done = mlops(api, "run", "a", "--param-file", str(given))
    assert isinstance(done.exception, ClientError)
    assert "given.yaml" in str(done.exception)
    assert not api.requests


def following(status: str, *stages: dict[str, Any]) -> FakeApi:
    """A run whose stages run and then end as given."""
    began = [event("stage", stage(one["name"], "RUNNING")) for one in stages if one["status"] != "SKIPPED"]
    pieces = [event("run", run("r7")), *began, *began, *(event("stage", one) for one in stages), event("end", {})]
    api = FakeApi().on("POST pipelines/a/runs", ok(run("r7"), 201))
    api.on("GET runs/r7/events", lambda _: httpx.Response(200, stream=Broken(pieces, None)))
    ended = detail("r7", status, *stages, duration_seconds=2.5, error="train: no rows")
    return api.on("GET runs/r7", ok(ended))


def test_a_followed_run_tells_each_stage_once_and_that_it_completed() -> None:
    prepare = stage("prepare", "COMPLETED", wall_seconds=1.25, peak_memory_bytes=142_000_000)
    train = stage("train", "COMPLETED", attempt=2, wall_seconds=0.5, peak_memory_bytes=98_000_000)
    words = shown(mlops(following("COMPLETED", prepare, train), "run", "a", "--follow"))
    ends = [one for one in words.splitlines() if one.startswith("✓")]
    assert len(ends) == 3
    assert ends[0].split() == ["✓", "prepare", "1.2", "s", "142", "MB"]
    assert ends[1].split() == ["✓", "train", "0.5", "s", "98", "MB", "try", "2"]
    assert "COMPLETED after 2.5 s, 2 of 2 stages completed" in ends[2]
    assert words.count("prepare runs") == 1


def test_a_followed_run_that_fails_says_why_and_fails_the_command() -> None:
    failed = stage("train", "FAILED", wall_seconds=0.3, error=ERROR)
    api = following("FAILED", stage("prepare", "COMPLETED"), failed, stage("report", "SKIPPED", attempt=0))
    done = mlops(api, "run", "a", "-f")
    assert done.exit_code == 1
    for part in (
        "ValueError: no rows at all (line 3)",
        "report",
        "skipped",
        "Traceback",
        "mlops pipeline logs r7 train",
    ):
        assert part in done.output


def test_on_a_terminal_what_runs_is_shown_below_what_has_ended() -> None:
    file = StringIO()
    nasty = stage("train", "FAILED", attempt=2, error={**ERROR, "message": "\x1b]0;title\x07"})
    api = following("FAILED", stage("prepare", "COMPLETED", wall_seconds=1.25), nasty)
    Watch(Console(force_terminal=True, width=100, file=file)).follow(api.client, "r7")
    words = Text.from_ansi(file.getvalue()).plain
    assert words.count("✓ prepare") == 1
    assert "FAILED after 2.5 s" in words
    assert "\x1b]0" not in file.getvalue()
    assert "\x07" not in file.getvalue()


def test_who_stops_watching_is_told_that_the_run_goes_on() -> None:
    api = FakeApi().on("POST pipelines/a/runs", ok(run("r7"), 201))
    began = [event("run", run("r7"))]
    api.on("GET runs/r7/events", lambda _: httpx.Response(200, stream=Broken(began, KeyboardInterrupt())))
    done = mlops(api, "run", "a", "--follow")
    assert done.exit_code != 0
    assert "mlops pipeline cancel r7" in done.output


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELLED", 1)])
def test_a_run_that_is_waited_for_gives_its_outcome_as_exit_code(status: str, code: int) -> None:
    done = mlops(following(status, stage("train", status)), "run", "a", "--wait")
    assert done.exit_code == code
    assert done.stdout == "r7\n"
    assert status in done.stderr


def test_the_state_of_a_run_fits_a_terminal() -> None:
    train = stage("train", "FAILED", 3, wall_seconds=4000.0, cpu_seconds=3999.9, peak_memory_bytes=2**31, error=ERROR)
    api = FakeApi().on("GET runs/r1", ok(detail("r1", "FAILED", train, parameters={"rows": 10})))
    words = shown(mlops(api, "status", "r1"))
    assert all(len(one) <= 100 for one in words.splitlines())
    assert all(part in words for part in ("FAILED", "4,000.0", "2.1 GB", "rows=10", "ValueError: no rows"))


def test_runs_are_asked_for_by_status_and_not_read_further_than_shown() -> None:
    id = "01234567-0123-0123-0123-0123456789ab"
    pages = {"items": [run(id)] * 5, "total": 1000, "next_cursor": "c"}
    api = FakeApi().on("GET pipelines/a/runs", ok(pages))
    words = shown(mlops(api, "runs", "a", "--status", "failed", "--status", "RUNNING", "-n", "3"))
    assert api.requests[0].url.params.get_list("status") == ["FAILED", "RUNNING"]
    assert words.count(id) == 3
    assert len(api.requests) == 1
    assert all(len(one) <= 100 for one in words.splitlines())


def test_artifacts_are_listed_whole_and_downloaded(tmp_path: Path) -> None:
    id = "01234567-0123-0123-0123-0123456789ab"
    name = "a_rather_long_name_of_a_file_with_figures.parquet"
    found = [artifact(b"x", id=id, name=name, stage="s" * 40), artifact(b"x", id=id[::-1], pipeline="other")]
    api = FakeApi().on("GET artifacts", page(*found))
    words = shown(mlops(api, "artifacts", "--run", "r1", "--type", "dataset"))
    assert id in words
    assert api.requests[0].url.params["type"] == "DATASET"
    assert all(len(one) <= 100 for one in words.splitlines())
    api.on("GET artifacts/a1", ok(artifact(b"x"))).on("GET artifacts/a1/content", httpx.Response(200, content=b"x"))
    assert shown(mlops(api, "download", "a1", "-o", str(tmp_path))).strip() == str(tmp_path / "scores.csv")


def test_a_new_pipeline_is_written_once_and_an_export_again(tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    api = FakeApi().on("POST templates/daily_report/render", ok({"spec": {}, "yaml": "name: mine\n"}))
    api.on("GET pipelines/mine/yaml", httpx.Response(200, text="name: mine\nowner: x\n"))
    assert shown(mlops(api, "new", "daily_report", "mine", "-p", "location=x")) == "name: mine\n"
    shown(mlops(api, "new", "daily_report", "mine", "-o", str(target)))
    done = mlops(api, "new", "daily_report", "mine", "-o", str(target))
    assert isinstance(done.exception, ClientError)
    assert target.read_text() == "name: mine\n"
    shown(mlops(api, "export", "mine", "-o", str(target)))
    assert target.read_text() == "name: mine\nowner: x\n"
    assert shown(mlops(api, "export", "mine")) == "name: mine\nowner: x\n"


def test_the_machines_own_token_goes_to_its_own_api_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("MLOPS_PORT_OFFSET", "77")
    with pytest.raises(ClientError, match="mlops up"):
        opened(None, None)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "operator_token").write_text(f"{TOKEN}\n")
    assert opened(None, None).url == "http://127.0.0.1:8078/api/v1/"
    assert opened(None, "other").url == "http://127.0.0.1:8078/api/v1/"
    assert opened(URL, "other").url == f"{URL}/api/v1/"
    with pytest.raises(ClientError, match="MLOPS_TOKEN"):
        opened(URL, None)


def test_the_options_and_the_environment_say_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str | None, str | None]] = []

    def remembered(url: str | None, token: str | None) -> Any:
        asked.append((url, token))
        return FakeApi().on("GET pipelines", page()).client

    monkeypatch.setattr("mlops_assets.cli.pipeline.opened", remembered)
    monkeypatch.setenv("MLOPS_TOKEN", "of-the-environment")
    shown(CliRunner().invoke(app, ["list"]))
    shown(CliRunner().invoke(app, ["--url", URL, "--token", "given", "list"]))
    assert asked == [(None, "of-the-environment"), (URL, "given")]
    assert "of-the-environment" not in CliRunner().invoke(app, ["--help"]).output


def test_what_the_client_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (
        NotFoundError(404, "Not Found", "there is no pipeline '[red]x'"),
        ConflictError(409, "Conflict", "busy"),
    ):
        monkeypatch.setattr(cli, "app", lambda error=error: (_ for _ in ()).throw(error))
        monkeypatch.setenv("PATH", "")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        assert capsys.readouterr().err == f"mlops: {error}\n"


def test_what_is_sent_is_json(tmp_path: Path) -> None:
    spec = tmp_path / "p.json"
    spec.write_text(json.dumps({"name": "p"}))
    api = (
        FakeApi()
        .on("GET pipelines/p", problem(404))
        .on("POST pipelines", ok(pipeline("p", deployed_version=None), 201))
    )
    assert "not deployed" in shown(mlops(api, "apply", str(spec), "--no-deploy"))
    sent = api.sent("POST pipelines")[0]
    assert (sent.headers["content-type"], sent.url.params["deploy"]) == ("application/json", "false")


def test_only_the_end_of_a_log_is_shown_where_that_is_asked_for() -> None:
    log = {"stage": "train", "attempt": 1, "lines": [line(8, "last words")], "ended": True}
    api = FakeApi().on("GET runs/r1/stages/train/logs", ok(log))
    assert "last words" in shown(mlops(api, "logs", "r1", "train", "--tail", "1"))
    assert [dict(request.url.params) for request in api.requests] == [{"tail": "1"}]
    assert mlops(api, "logs", "r1", "train", "--tail", "5001").exit_code == 2
