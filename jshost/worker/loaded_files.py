"""Which files of the project are loaded, so that the host can watch them.

Runs in: Python workers.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

__all__ = ["LoadedFiles"]

INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


class LoadedFiles:
    """The config file and the project's modules; not Python's own, not installed packages."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._known_modules = 0

    def all(self, error: BaseException | None = None) -> list[str]:
        """The files, sorted.

        Args:
            error: the error that loading ended in; a file with a syntax error counts too.
        """
        self._known_modules = len(sys.modules)
        library, ours = Path(os.__file__).parent, Path(__file__).parent.parent
        not_the_projects = f"{library}{os.sep}", f"{ours}{os.sep}"
        files = {str(self._config)}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not file.endswith(".py"):
                continue
            if not file.startswith(not_the_projects) and not INSTALLED.search(file):
                files.add(str(Path(file).absolute()))
        if isinstance(error, SyntaxError) and error.filename:
            files.add(str(Path(error.filename).absolute()))
        return sorted(files)

    def more(self) -> list[str] | None:
        """All files if modules were imported since the last look, else None."""
        return self.all() if len(sys.modules) != self._known_modules else None
