"""python-shell's end: a line of JSON in, a line of JSON out, as its own page shows it.

Runs in: a Python that python-shell starts.
"""

import json
import sys

import peer_functions

__all__: list[str] = []


def main() -> None:
    """Answer one line after another, until stdin ends."""
    for line in sys.stdin:
        name, data = json.loads(line)
        result = getattr(peer_functions, name)(**data)
        if name == "chunks":
            for chunk in result:
                print(json.dumps(chunk))
            result = None
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
