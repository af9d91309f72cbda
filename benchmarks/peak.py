"""Run a command, and tell how much memory it had at most.

    python -m benchmarks.peak FILE COMMAND …

writes the peak in bytes to FILE and ends as the command did. A process of its own, and a small one: a process begins with what its
parent had, so that a large parent would count.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path


def main() -> int:
    file, command = Path(sys.argv[1]), sys.argv[2:]
    code = subprocess.run(command, check=False).returncode
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    file.write_text(str(most if sys.platform == "darwin" else most * 1024), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
