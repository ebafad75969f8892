"""The manager, which starts hosts when they are needed; for development. Runs in: callers.

Example:
    >>> from jshost.manager import manager
    >>> manager.is_running()
    True
"""

from __future__ import annotations

from jshost.client.http.manager import JSHostManager, manager
from jshost.discovery.log_files import log_folder, logfile_of

__all__ = ["JSHostManager", "log_folder", "logfile_of", "manager"]
