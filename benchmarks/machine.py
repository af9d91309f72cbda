"""What a benchmark ran on, so that its figures can be read later: the processor, the memory, the versions, the commit."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlalchemy import text

from sync import __version__
from sync.store import Store

ROOT = Path(__file__).resolve().parents[1]


def machine() -> dict[str, Any]:
    """Return what the computer is."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
        # Others at work: timings are worth less where this is not near 0.
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(store: Store | None = None) -> dict[str, Any]:
    """Return what is installed, and the server's version where there is one."""
    return {
        "personas-sync": __version__,
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain", "--", "sync", "benchmarks")),
        "python": platform.python_version(),
        **{name: _installed(name) for name in ("sqlalchemy", "psycopg")},
        **({} if store is None else _database(store)),
    }


def _database(store: Store) -> dict[str, Any]:
    if store.on_sqlite:
        return {"sqlite": sqlite3.sqlite_version}
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "work_mem")
    with store.engine.connect() as connection:
        shown = {name: connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one() for name in names}
    return {"postgresql": shown.pop("server_version"), "postgresql_settings": shown}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    """Ask git about the checkout; None where this is none."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
