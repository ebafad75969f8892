"""The entry of a host process: ``python -m jshost.server JSON``. Runs in: host.

The command line, or the manager, starts it with one JSON object: ``{"action": "serve" | "describe",
"config": path, "overrides": {...}, "node": path | null, "logfile": path | null, "json": bool,
"verbose": bool, "accessLog": bool, "logFormat": "text" | "json", "managed": bool,
"reload": bool}``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

from jshost.exceptions import ConfigError
from jshost.server.logs import set_up_logging
from jshost.server.serve import ServeOptions, describe, serve


def _run(arguments: dict[str, Any]) -> int:
    config_file = Path(arguments["config"]).resolve()
    node, overrides = arguments["node"], arguments["overrides"]
    if arguments["action"] == "describe":
        logging.getLogger().addHandler(logging.NullHandler())  # problems are raised as errors
        config = _runner(describe(config_file, overrides, node))
        sys.stdout.write(json.dumps(config) + "\n")
        return 0
    managed = bool(arguments.get("managed"))
    set_up_logging(
        arguments["logfile"],
        arguments["verbose"],
        managed,
        access_log=bool(arguments.get("accessLog")),
        as_json=arguments.get("logFormat") == "json",
    )
    start = ServeOptions(
        config_file, overrides, node, arguments["json"], managed, bool(arguments.get("reload"))
    )
    code: int = _runner(serve(start))
    return code


def _runner(main: Any) -> Any:
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def main() -> None:
    try:
        sys.exit(_run(json.loads(sys.argv[1])))
    except ConfigError as error:
        sys.stderr.write(f"jshost: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
