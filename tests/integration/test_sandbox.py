"""Stages do their work in processes of their own: values, artifacts, logs, facts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.sandbox import values
from mlops_assets.sandbox.isolation import isolation
from mlops_assets.sandbox.order import StageOutcome, StoredValue
from tests.integration.sandboxed import LIMITS, Stages


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path)


def kept(outcome: StageOutcome) -> StoredValue:
    assert outcome.result is not None, outcome.error
    return outcome.result


def test_a_table_goes_into_a_model_and_the_model_into_figures(stages: Stages) -> None:
    table = stages.run(
        """
        import pandas as pd
        def run():
            return pd.DataFrame({"x": [1, 2, 3], "y": [2, 4, 6]})
        """
    )
    assert kept(table).format == "parquet"
    model = stages.run(
        """
        from sklearn.linear_model import LinearRegression
        def run(prepare, context):
            model = LinearRegression().fit(prepare[["x"]], prepare["y"])
            context.logger.info("slope %.1f", model.coef_[0])
            context.artifact("model", model, type="MODEL", metadata={"framework": "scikit-learn"})
            return model
        """,
        stage="train",
        arguments={"prepare": kept(table)},
    )
    assert kept(model).format == "pickle"
    assert stages.log == ["slope 2.0"]
    assert model.artifacts[0].type == "MODEL"
    with pytest.raises(values.PickleRefusedError):
        values.load(kept(model))
    figures = stages.run(
        "def run(train, prepare):\n    return {'r2': train.score(prepare[['x']], prepare['y'])}",
        stage="evaluate",
        arguments={"prepare": kept(table), "train": kept(model)},
    )
    assert values.load(kept(figures)) == {"r2": 1.0}
    assert figures.peak_memory_bytes > 10_000_000
    assert figures.cpu_seconds > 0


def test_context_has_what_the_run_is_about(stages: Stages) -> None:
    outcome = stages.run(
        """
        def run(context):
            try:
                context.nothing
            except AttributeError as error:
                print(error)
            return [context.parameters["größe"], context.config["a"], context.run_id, context.pipeline, context.stage]
        """,
        parameters={"größe": 3},
        config={"a": {"b": []}},
        facts={"run_id": "r1", "pipeline": "日本", "attempt": 2, "trigger": "API"},
    )
    assert values.load(kept(outcome)) == [3, {"b": []}, "r1", "日本", "prepare"]
    assert "attempt, pipeline, run_id, trigger" in stages.log[0]


def test_what_is_printed_and_logged_keeps_its_order_and_level(stages: Stages) -> None:
    stages.run(
        """
        import logging, os, sys
        def run(context):
            print("größte 日本 \\U0001f600 \\ud800")
            context.logger.error("broken")
            os.system("echo from a program")
            logging.getLogger("library").warning("beware")
            context.logger.debug("not shown")
            print("to stderr", file=sys.stderr)
        """
    )
    assert [(line.level, line.text) for line in stages.lines] == [
        ("INFO", "größte 日本 \U0001f600 \\ud800"),
        ("ERROR", "broken"),
        ("INFO", "from a program"),
        ("WARNING", "beware"),
        ("INFO", "to stderr"),
    ]


def test_artifacts_keep_any_name_and_are_taken_over_from_failed_stages(stages: Stages) -> None:
    name = '../../etc/"pässwd"<b>\' ; 日本' + "x" * 200
    outcome = stages.run(
        """
        import pathlib
        def run(context):
            context.artifact(context.parameters["name"], {"a": 1}, type="METRICS", metadata={"é": [1]})
            context.artifact("text", "# Überschrift", type="REPORT")
            pathlib.Path("plot.png").write_bytes(b"\\x89PNG")
            context.artifact("plot", pathlib.Path("plot.png"), type="PLOT")
            for data, wrong in ((1, {"name": ""}), (1, {"type": "X"}), (1, {"metadata": {1j: 1}}), (lambda: 1, {})):
                try:
                    context.artifact(**{"name": "n", "data": data, **wrong})
                except (ValueError, TypeError) as error:
                    print(type(error).__name__)
            raise KeyError("after")
        """,
        parameters={"name": name},
    )
    assert outcome.status == "failed"
    assert [a.name for a in outcome.artifacts] == [name, "text", "plot"]
    assert [a.value.format for a in outcome.artifacts] == ["json", "text", "bytes"]
    assert values.load(outcome.artifacts[2].value) == b"\x89PNG"
    assert stages.log == ["ValueError", "ValueError", "ValueError", "UnstorableError"]
    for artifact in outcome.artifacts:
        assert artifact.value.path is not None
        facts = artifact.value.path.stat()
        assert (facts.st_uid, facts.st_mode & 0o777) == (os.geteuid(), 0o600)


def test_only_the_declared_environment_is_there(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("LD_PRELOAD_X", "secret")
    outcome = stages.run(
        """
        import os, subprocess
        def run():
            inherited = open("/proc/self/environ").read()
            return [dict(os.environ), inherited, subprocess.run("env", capture_output=True, text=True).stdout]
        """,
        environment={"TOKEN": "ü=1", "PATH": "/usr/bin"},
    )
    environment, inherited, program = values.load(kept(outcome))
    assert set(environment) == {"PATH", "LANG", "TZ", "HOME", "TMPDIR", "TOKEN"}
    assert (environment["TOKEN"], environment["PATH"]) == ("ü=1", "/usr/bin")
    assert "secret" not in inherited + program


def test_arguments_are_what_the_function_asks_for(stages: Stages) -> None:
    given = {name: kept(stages.run(f"def run(): return {name!r}", stage=name)) for name in ("a", "b")}
    nothing = kept(stages.run("def run(): ..."))
    assert values.load(kept(stages.run("def run(b): return b", arguments=given))) == "b"
    assert values.load(kept(stages.run("def run(b, c=5, *, a): return a + b", arguments=given))) == "ab"
    everything = "def run(**all): return sorted(all)"
    assert values.load(kept(stages.run(everything, arguments=given))) == ["a", "b"]
    assert values.load(kept(stages.run("def run(n): return n is None", arguments={"n": nothing}))) is True
    refused = stages.run("def run(c): return c", arguments=given)
    assert refused.error is not None
    assert "a, b, context" in refused.error.message


def test_a_huge_argument_and_a_huge_source_arrive(stages: Stages) -> None:
    limits = replace(LIMITS, output_mb=500)
    value = stages.run("import numpy as np\ndef run(): return np.ones(20_000_000)", limits=limits)
    source = "# " + "x" * 5_000_000 + "\ndef run(prepare): return float(prepare.sum())"
    outcome = stages.run(source, stage="add", arguments={"prepare": kept(value)})
    assert values.load(kept(outcome)) == 20_000_000


def test_bytes_read_and_written_are_told(stages: Stages) -> None:
    outcome = stages.run("def run(): open('x', 'wb').write(b'x' * 3_000_000)")
    if outcome.bytes_written is not None:
        assert outcome.bytes_written >= 3_000_000


def test_a_function_by_path(stages: Stages, tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "package").mkdir(parents=True)
    (code / "package" / "__init__.py").touch()
    (code / "package" / "steps.py").write_text("class Own:\n    pass\ndef make(context): return Own()\n")
    (code / "flow.py").write_text("from package.steps import Own\ndef use(made):\n    assert type(made) is Own\n")
    code.chmod(0o755)
    made = stages.run(None, function="package.steps:make", code_folder=code)
    used = stages.run(None, stage="use", function="flow.py:use", code_folder=code, arguments={"made": kept(made)})
    assert used.status == "completed"
    for missing in ("package.steps:nothing", "nothing:run", "nothing.py:run"):
        assert stages.run(None, function=missing, code_folder=code).status == "failed"


def test_the_strongest_isolation_that_works_is_told(stages: Stages) -> None:
    found = isolation()
    outcome = stages.run("import os\ndef run(): return [os.getuid(), os.getpid(), open('/proc/self/status').read()]")
    user, pid, status = values.load(kept(outcome))
    assert (user != os.geteuid()) == found.unprivileged_user
    assert (pid < 10) == found.namespaces
    facts = dict(line.split(":\t", 1) for line in status.splitlines())
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"].strip() == "1"
    assert (facts.get("Seccomp", "0").strip() == "2") == found.calls_filtered
    if found.unprivileged_user:
        assert int(facts["CapBnd"], 16) == 0
        assert facts["Groups"].strip() == ""
    assert bool(found.missing) == (not (found.unprivileged_user and found.namespaces))


def test_a_stage_without_network_reaches_nobody(stages: Stages) -> None:
    if not isolation().namespaces:
        pytest.skip("the network can't be taken away here; isolation() says so")
    source = """
        import socket
        def run():
            names = [name for _, name in socket.if_nameindex()]
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
            return names
        """
    assert values.load(kept(stages.run(source, network=False))) == ["lo"]


def test_a_listener_that_fails_ends_the_stage(tmp_path: Path) -> None:
    class BrokenError(Exception):
        pass

    def broken(_: object) -> None:
        raise BrokenError

    stages = Stages(tmp_path)
    order = stages.order("import time\ndef run():\n    print(1)\n    time.sleep(60)")
    from mlops_assets.sandbox.run import run_stage

    with pytest.raises(BrokenError):
        run_stage(order, heard=broken, cancelled=lambda: False)
