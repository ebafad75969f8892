"""Holds a managed host for another process. Runs in: a child of Node programs.

``python -m jshost.cli.hold '{"config": path, "pid": number}'`` has the config's host started where
none runs, and counted as used for as long as that process lives. It prints ``{"url": …}``.
"""

from __future__ import annotations

import json
import sys

from jshost.conf import settings
from jshost.exceptions import JSHostError
from jshost.host import JSHost
from jshost.manager import manager

__all__ = ["main"]


def main() -> int:
    wanted = json.loads(sys.argv[1])
    settings.configure(USE_MANAGER=True, VERBOSITY=0)
    manager.holder_pid = wanted["pid"]
    try:
        url = JSHost(wanted["config"]).fastest_url()
    except JSHostError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps({"url": url}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
