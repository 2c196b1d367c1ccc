"""What a logged prediction costs after its answer: processor time, write-ahead log, bytes in tables and in Parquet.

Add here another cost of a row of the prediction log. Keep out costs of runs (`unit_costs_runs`) and how they are kept
(`unit_costs`). The lines are those of the real service; users, ids and times differ from line to line. One product in a
rollout, which is the dearest state: every row is counted, every user is kept. With two shippers, each has a folder of
its own, as two hosts have.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from sqlalchemy import Engine, create_engine, text

from inference.journal import Journal
from inference.prediction_id import uuid7
from inference.ship_rows import OPTIONS, LogDatabase
from inference.shipping import Shipper
from inference.timed_connection import TimedConnection
from mlops_assets.prediction_log.exporting import FEEDBACK, PREDICTIONS, export_hour, folder_of
from mlops_assets.products import house_prices
from mlops_assets.products.samples import house_prices as sample
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.benchmarks import serving
from tests.journal_lines import encoded, feedback
from tests.servers import running_postgres

PRODUCT = "house_prices"
# A user asks ten times; one answer in twenty is rated.
ASKED_BY_ONE, RATED_EVERY, HOMES = 10, 20, 5000
Figures = dict[str, Any]


def real_line(folder: Path) -> dict[str, Any]:
    """The line that the service writes for an answer behind the gateway."""
    prepared = serving.prepare(folder)
    (folder / "key").write_text("ab" * 32)
    journal = folder / "real"
    ports = serving._free_ports()
    environment = serving._environment(prepared, folder) | {
        "MLOPS_SERVING_KEY_FILE": str(folder / "key"), "MLOPS_SERVING_JOURNAL_DIR": str(journal),
    }  # fmt: skip
    command, port = serving._commands(ports)[serving.OURS], ports[serving.OURS]
    headers = {
        "x-user-id": "user-4711", "x-request-id": uuid7(), "x-mlops-assigned": "production",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
    }  # fmt: skip
    with serving.server(command, environment, port, prepared.request):
        url = f"http://127.0.0.1:{port}{serving.ROUTE}"
        httpx.post(url, json=prepared.request, headers=headers, timeout=10).raise_for_status()
    lines = [line for file in sorted(journal.glob("*/*")) for line in file.read_text().splitlines()]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def varied(real: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """`count` answers to what different users ask about the sample's homes, in the real line's form.

    Equal values would shrink to nothing in Parquet.
    """
    homes = house_prices.clean(sample.generate(HOMES, 1)).rows[list(real["features"])].astype(object)
    asked = homes.where(homes.notna(), None).to_dict("records")
    chance = random.Random(1)
    users = [f"{chance.getrandbits(128):032x}" for _ in range(max(1, count // ASKED_BY_ONE))]
    for _ in range(count):
        person = chance.randrange(len(users))
        side = "candidate" if person % 5 == 0 else "production"
        price = round(chance.lognormvariate(4.2, 0.6), 2)
        interval = {"low": round(0.86 * price, 2), "high": round(1.15 * price, 2)}
        yield real | {
            "id": uuid7(), "at": time.time(), "user": users[person], "assigned": side, "variant": side, "rollout": 1,
            "step": 0, "features": chance.choice(asked), "ms": round(chance.lognormvariate(-0.5, 0.4), 3),
            "output": real["output"] | {"estimated_price": price, "interval": interval},
            "request_id": str(UUID(int=chance.getrandbits(128))), "trace_id": f"{chance.getrandbits(128):032x}",
        }  # fmt: skip


def fill(folder: Path, records: Iterable[dict[str, Any]]) -> tuple[list[str], int]:
    """A journal of these lines; their ids, and their bytes."""
    journal, ids, size = Journal(folder / PRODUCT, PRODUCT), [], 0
    for record in records:
        line = encoded(record)
        journal.append(line)
        ids.append(record["id"])
        size += len(line)
    journal.close()
    return ids, size


def ship(folder: str, url: str, told: Any = None) -> None:
    """Everything in a folder into the database, as the shipper does it; `told` gets the process's CPU seconds."""
    log = LogDatabase(TimedConnection(url, name="benchmark", options=OPTIONS))
    shipper, began = Shipper(Path(folder), log), time.process_time()
    while shipper.step():
        pass
    log.close()
    if told is not None:
        told.put(time.process_time() - began)


def shipped(url: str, folders: list[Path]) -> tuple[float, float]:
    """Seconds until a shipper for each folder is done, and CPU seconds of all of them."""
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    began = time.perf_counter()
    workers = [context.Process(target=ship, args=(str(folder), url, told)) for folder in folders]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(600)
        assert worker.exitcode == 0, "a shipper failed"
    return time.perf_counter() - began, sum(told.get() for _ in workers)


def family_cpu(process: psutil.Process) -> float:
    """CPU seconds of a process with its children, ended ones too."""
    total = sum(process.cpu_times()[:4])
    for child in process.children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return float(total)


def wal(engine: Engine) -> int:
    """Bytes of write-ahead log that were ever written."""
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")))


def sizes(engine: Engine, table: str) -> tuple[int, int]:
    """Bytes of a table's rows (with TOAST) and of its indexes; all partitions."""
    query = """SELECT sum(pg_table_size(part)), sum(pg_indexes_size(part)) FROM (
      SELECT CAST(:name AS regclass) UNION SELECT relid FROM pg_partition_tree(:name)) AS parts (part)"""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM ANALYZE {table}"))
        rows, indexes = connection.execute(text(query), {"name": table}).one()
    return int(rows), int(indexes)


@contextmanager
def database_server(folder: Path) -> Iterator[tuple[str, Database, Engine, psutil.Process]]:
    """PostgreSQL as an installation runs it, with tables; its URL and its first process."""
    with running_postgres(folder) as url:
        database = Database.connect(url)
        database.migrate()
        engine = create_engine(url)
        number = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        yield url, database, engine, psutil.Process(number)
        engine.dispose()
        database.dispose()


def measured(count: int) -> Figures:
    """Every cost of a row, over `count` rows."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        real = real_line(folder)
        with database_server(folder) as (url, database, engine, server):
            ids, size = fill(folder / "one", varied(real, count))
            cpu, written = family_cpu(server), wal(engine)
            seconds, own = shipped(url, [folder / "one"])
            found: Figures = {
                "rows": count,
                "line_bytes": size / count,
                "rows_per_second": count / seconds,
                "shipper_cpu_us": own / count * 1e6,
                "postgres_cpu_us": (family_cpu(server) - cpu) / count * 1e6,
                "wal_bytes": (wal(engine) - written) / count,
            }
            found |= _stored(engine, count) | _rated(url, folder, engine, ids)
            found |= _exported(database, Storage(f"{folder}/storage"), server)
            found |= _two(url, folder, real, count)
            found |= _deleted(engine)
    return {name: round(value, 2) for name, value in found.items()} | {"load_average": round(os.getloadavg()[0], 2)}


def _stored(engine: Engine, count: int) -> Figures:
    rows, indexes = sizes(engine, "mlops.prediction")
    users = sum(sizes(engine, "mlops.exposure"))
    return {"table_bytes": rows / count, "index_bytes": indexes / count, "user_bytes": users / (count // ASKED_BY_ONE)}


def _rated(url: str, folder: Path, engine: Engine, ids: list[str]) -> Figures:
    rated = ids[::RATED_EVERY]
    journal = Journal(folder / "rated" / PRODUCT, PRODUCT)
    for identifier in rated:
        journal.append(encoded(feedback(identifier, product=PRODUCT)))
    journal.close()
    seconds, _ = shipped(url, [folder / "rated"])
    return {
        "feedback_bytes": sum(sizes(engine, "mlops.feedback")) / len(rated),
        "feedback_per_second": len(rated) / seconds,
    }


def _exported(database: Database, storage: Storage, server: psutil.Process) -> Figures:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = ratings = size = rated = 0
    cpu, own, began = family_cpu(server), time.process_time(), time.perf_counter()
    # The rows may lie on both sides of an hour's end.
    for start in (hour - timedelta(hours=1), hour):
        done = export_hour(database, storage, PRODUCT, start)
        rows, ratings = rows + done.predictions, ratings + done.feedback
    seconds, own = time.perf_counter() - began, time.process_time() - own
    for start in (hour - timedelta(hours=1), hour):
        place = Path(folder_of(storage, PRODUCT, start).url.removeprefix("file://"))
        size += (place / PREDICTIONS).stat().st_size
        rated += (place / FEEDBACK).stat().st_size
    return {
        "export_rows_per_second": (rows + ratings) / seconds,
        "export_cpu_us": own / (rows + ratings) * 1e6,
        "export_postgres_cpu_us": (family_cpu(server) - cpu) / (rows + ratings) * 1e6,
        "parquet_bytes": size / rows,
        "parquet_feedback_bytes": rated / max(1, ratings),
    }


def _two(url: str, folder: Path, real: dict[str, Any], count: int) -> Figures:
    """Two shippers at once beside one, of the same rows each, in the same minute."""
    each = count // 4
    for name in ("alone", "left", "right"):
        fill(folder / name, varied(real, each))
    alone, _ = shipped(url, [folder / "alone"])
    both, _ = shipped(url, [folder / "left", folder / "right"])
    return {"one_shipper_rows_per_second": each / alone, "two_shippers_rows_per_second": 2 * each / both}


def _deleted(engine: Engine) -> Figures:
    """Rows as retention takes them out of a day that holds other products too: row by row, not by partition."""
    with engine.begin() as connection:
        began = time.perf_counter()
        gone = connection.execute(text("DELETE FROM mlops.prediction WHERE product = :product"), {"product": PRODUCT})
        seconds = time.perf_counter() - began
    return {"deleted_rows_per_second": gone.rowcount / seconds}
