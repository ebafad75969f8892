"""Print the memory of a process tree as JSON. Runs in: bench/.venv, which has psutil.

Usage: ``python memory.py [--children] PID``; with ``--children`` without the process itself.
Prints ``{"rss_mb": 70.1, "uss_mb": 52.0, "processes": 2}``.
"""

import json
import sys

import psutil

__all__: list[str] = []

MIB = 1024 * 1024


def main() -> None:
    """Sum the resident and the unshared memory of a process and its descendants."""
    root = psutil.Process(int(sys.argv[-1]))
    processes = root.children(recursive=True)
    if "--children" not in sys.argv:
        processes.append(root)
    memory = [process.memory_full_info() for process in processes]
    total = {
        "rss_mb": sum(one.rss for one in memory) / MIB,
        "uss_mb": sum(one.uss for one in memory) / MIB,
        "processes": len(memory),
    }
    print(json.dumps(total))


if __name__ == "__main__":
    main()
