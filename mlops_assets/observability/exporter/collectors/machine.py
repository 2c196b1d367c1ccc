"""The machine: cores, load, memory.

Keep out single programs (`programs`) and the disk (`storage`).
"""

from __future__ import annotations

import psutil

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.families import Sheet

EVERY_SECONDS = 5.0
MODES = ("user", "system", "idle", "iowait", "steal", "nice", "irq", "softirq")


def collector() -> Collector:
    """Looks every five seconds."""
    metrics = of_group("machine", only=("mlops_machine_",))
    return Collector("machine", metrics, EVERY_SECONDS, look, rows=False)


def look(sheet: Sheet) -> None:
    """Read the kernel's figures."""
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    for mode in MODES:
        sheet.put("mlops_machine_cpu_seconds_total", getattr(times, mode, None), mode=mode)
    sheet.put("mlops_machine_cpus", psutil.cpu_count())
    sheet.put("mlops_machine_load1", psutil.getloadavg()[0])
    used = {"total": memory.total, "available": memory.available, "used": memory.total - memory.available}
    for use, size in used.items():
        sheet.put("mlops_machine_memory_bytes", size, use=use)
