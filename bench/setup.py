"""Install the benchmark's peers: bench/.venv from PyPI, bench/node_modules from npm.

Where a package cannot be installed, the others are; its row then says that it is missing.

Runs in: any Python 3.11 or later. Does nothing when what is installed is what is asked for.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

__all__ = ["main"]

BENCH = Path(__file__).resolve().parent
INSTALL_DEADLINE_S = 600.0


def main() -> None:
    """Install what is missing or out of date."""
    _install_python()
    _install_node()


def _install_python() -> None:
    wanted, folder = BENCH / "requirements.txt", BENCH / ".venv"
    if _is_installed(wanted, folder):
        return
    print("bench: installing the Python peers into bench/.venv", file=sys.stderr)
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    try:
        _run(*pip, "-r", str(wanted))
    except subprocess.CalledProcessError:
        for pinned in wanted.read_text().split():
            try:
                _run(*pip, "--no-deps", pinned)
            except subprocess.CalledProcessError:
                print(f"bench: {pinned} cannot be installed", file=sys.stderr)
        return  # the next run tries again
    _mark_installed(wanted, folder)


def _install_node() -> None:
    wanted, folder = BENCH / "package-lock.json", BENCH / "node_modules"
    if _is_installed(wanted, folder):
        return
    print("bench: installing the npm peers into bench/node_modules", file=sys.stderr)
    _run("npm", "ci", "--ignore-scripts", "--no-progress", "--loglevel=error")
    _mark_installed(wanted, folder)


def _is_installed(wanted: Path, folder: Path) -> bool:
    mark = folder / ".installed"
    return mark.is_file() and mark.read_text() == _fingerprint(wanted)


def _mark_installed(wanted: Path, folder: Path) -> None:
    (folder / ".installed").write_text(_fingerprint(wanted))


def _fingerprint(wanted: Path) -> str:
    return hashlib.sha256(wanted.read_bytes()).hexdigest()


def _run(*argv: str) -> None:
    subprocess.run(argv, cwd=BENCH, check=True, stdout=sys.stderr, timeout=INSTALL_DEADLINE_S)


if __name__ == "__main__":
    main()
