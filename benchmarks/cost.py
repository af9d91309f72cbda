"""Run a command, and tell what it cost.

    python -m benchmarks.cost FILE COMMAND …

writes seconds, seconds of processors and the peak of memory in bytes to FILE, as JSON, and ends as the command did. A process of
its own, and a small one: a process begins with what its parent had, so that a large parent would count as memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    file, command = Path(sys.argv[1]), sys.argv[2:]
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    seconds = time.monotonic() - began
    # Of all that came out of the command and was waited for; the memory is that of the largest.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss if sys.platform == "darwin" else used.ru_maxrss * 1024
    told = {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_bytes": peak}
    file.write_text(json.dumps(told), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
