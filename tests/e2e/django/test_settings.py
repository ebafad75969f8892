"""A small Django project whose views call functions, with its settings in JS_HOST."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.hosts import StartHost

from jshost.conf import settings
from jshost.exceptions import ConfigError

HOST_CONFIG = """
exports.functions = {
  render: ({component, title}, cb) => cb(null, `<${component}>${title}</${component}>`),
  limit() { return this.timeout; },
};
"""

PROJECT = {
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "project/__init__.py": "",
    "project/settings.py": """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "not secret"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["jshost", "pages"]
ROOT_URLCONF = "project.urls"
LANGUAGE_CODE = "de"
USE_I18N = True
DATABASES = {}
TEST_RUNNER = "project.runner.Runner"
JS_HOST = {JS_HOST}
""",
    "project/runner.py": """
from django.test.runner import DiscoverRunner
class Runner(DiscoverRunner):
    def setup_databases(self, **kwargs): ...
    def teardown_databases(self, old_config, **kwargs): ...
""",
    "project/urls.py": """
from django.urls import path
from pages import views
urlpatterns = [path("", views.index), path("limit", views.limit)]
""",
    "pages/__init__.py": "",
    "pages/views.py": """
from django.http import HttpResponse, JsonResponse
from django.utils.translation import gettext_lazy
from jshost.function import Function

render = Function("render")  # bound at import, before settings are needed
TITLE = gettext_lazy("Yes")  # "Ja", by Django's own catalogue

def index(request):
    return HttpResponse(render.call(component="h1", title=TITLE))

def limit(request):
    return JsonResponse({"limit": Function("limit").call()})
""",
    "pages/tests.py": """
from django.test import SimpleTestCase
class Pages(SimpleTestCase):
    def test_index(self):
        self.assertEqual(self.client.get("/").content.decode(), "<h1>Ja</h1>")
    def test_limit(self):
        self.assertEqual(self.client.get("/limit").json(), {"limit": 2.5})
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's folder; `JS_HOST` names the config file beside manage.py."""
    js_host = '{"SOURCE_ROOT": BASE_DIR, "CONFIG_FILE": "site.config.js", "FUNCTION_TIMEOUT": 2.5}'
    write(tmp_path, js_host)
    return tmp_path


def write(folder: Path, js_host: str) -> None:
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.replace("{JS_HOST}", js_host))


def python(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project.parent,
        env={**os.environ, "PYTHONPATH": str(project), **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_views_call_the_host_that_the_settings_name(serve: StartHost, project: Path) -> None:
    """By the project's own tests; the working directory is not the project's."""
    serve("site.config.js", HOST_CONFIG)
    done = python(project, str(project / "manage.py"), "test", "pages")
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


def test_the_app_passes_djangos_checks_without_a_host(project: Path) -> None:
    (project / "site.config.js").write_text(HOST_CONFIG)
    done = python(project, str(project / "manage.py"), "check", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("js_host", "complaint"),
    [
        ('{"FUNCTION_TIMOUT": 1}', '"FUNCTION_TIMOUT". Did you mean "FUNCTION_TIMEOUT"?'),
        ('{"CONFIG": "x"}', 'no setting "CONFIG". Did you mean "CONFIG_FILE"?'),
        ('{"FUNCTION_TIMEOUT": "soon"}', "FUNCTION_TIMEOUT must be a number of seconds"),
        ("[]", "JS_HOST must be a dict"),
    ],
)
def test_what_is_wrong_in_js_host(tmp_path: Path, js_host: str, complaint: str) -> None:
    write(tmp_path, js_host)
    call = "import django; django.setup(); from pages.views import render; render.call()"
    done = python(tmp_path, "-c", call, DJANGO_SETTINGS_MODULE="project.settings")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("jshost.exceptions.ConfigError: ")
    assert complaint in last
    assert "JS_HOST" in last


ORDER = """
import json, django
django.setup()
from jshost.conf import settings
settings.configure(VERBOSITY="SILENT")
names = ["VERBOSITY", "FUNCTION_TIMEOUT", "RETURN_TEXT", "USE_MANAGER"]
print(json.dumps([getattr(settings, name) for name in names]))
"""


def test_configure_before_django_before_the_environment_before_defaults(tmp_path: Path) -> None:
    write(tmp_path, '{"VERBOSITY": 6, "FUNCTION_TIMEOUT": 2}')
    environment = {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "JSHOST_VERBOSITY": "5",
        "JSHOST_FUNCTION_TIMEOUT": "1",
        "JSHOST_RETURN_TEXT": "true",
    }
    done = python(tmp_path, "-c", ORDER, **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, 2.0, True, False]


def test_without_django_it_is_not_imported(tmp_path: Path) -> None:
    call = "import sys; from jshost.conf import settings; settings.ROOT_URL; print(*sys.modules)"
    done = python(tmp_path, "-c", call)
    assert done.returncode == 0, done.stderr
    assert "django" not in done.stdout.split()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"FUNCTION_TIMOUT": 1}, 'no setting "FUNCTION_TIMOUT". Did you mean "FUNCTION_TIMEOUT"'),
        ({"FUNCTION_TIMEOUT": "soon"}, "FUNCTION_TIMEOUT must be a number of seconds"),
        ({"ROOT_URL": "localhost:9009"}, "ROOT_URL must be a URL that begins with http"),
        ({"VERBOSITY": "LOUD"}, "VERBOSITY must be a level of jshost.verbosity"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint.replace(".", r"\.")):
        settings.configure(**values)
