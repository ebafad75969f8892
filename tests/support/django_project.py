"""A small Django project in a folder, for tests that run its manage.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["DjangoProject"]

FILES = {
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "project/__init__.py": "",
    "project/urls.py": "urlpatterns = []",
    "pages/__init__.py": "",
}

SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = {debug}
SECRET_KEY = "not secret"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["jshost", "pages"]
ROOT_URLCONF = "project.urls"
TEMPLATES = [{{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {{"context_processors": ["django.template.context_processors.request"]}},
}}]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
LANGUAGE_CODE = "de"
JS_HOST = {js_host}
"""


class DjangoProject:
    """A project in `folder`; what `files` maps names to is written over the usual ones."""

    def __init__(
        self,
        folder: Path,
        js_host: str = '{"SOURCE_ROOT": BASE_DIR}',
        files: Mapping[str, str] | None = None,
        *,
        debug: bool = True,
    ) -> None:
        self.folder = folder
        settings = SETTINGS.format(debug=debug, js_host=js_host)
        for name, text in {**FILES, "project/settings.py": settings, **(files or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.folder / "manage.py"), *arguments]

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end, from another folder than the project's."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder.parent,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
