"""Templates, async views and Django's own kinds of values, in a project's own test suite."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.django_project import DjangoProject
from support.hosts import StartHost

HOST_CONFIG = """
exports.functions = {
  render: ({component, props}) => `<b>${component} ${JSON.stringify(props ?? null)}</b>`,
  echo: (data) => data,
  name: ({name, safe}) => `${name} ${safe}`,
  fail() { throw new Error('broken'); },
  slow: () => new Promise(() => {}),
};
"""

MODELS = """
from django.db import models

class Author(models.Model):
    name = models.CharField(max_length=50)
    price = models.DecimalField(max_digits=8, decimal_places=2, default="9.90")
    since = models.DateTimeField(null=True)

class Kind(models.TextChoices):
    NOVEL = "novel", "Novel"
"""

TEST_TEMPLATES = """
import logging
from django.template import Context, Template, TemplateSyntaxError
from django.test import SimpleTestCase
from django.utils.safestring import SafeString, mark_safe
from jshost import ConnectionError, FunctionError

def show(text, /, **context):
    return Template("{% load jshost %}" + text).render(Context(context))

class Templates(SimpleTestCase):
    def test_what_a_function_returns_is_escaped(self):
        shown = show('{% js_call "render" component="App" props=props %}', props={"a": 1})
        self.assertEqual(shown, "&lt;b&gt;App {&quot;a&quot;:1}&lt;/b&gt;")

    def test_safe_is_asked_for(self):
        text = '{% js_call "render" component="App" safe=True %}'
        self.assertEqual(show(text), "<b>App null</b>")
        shown = show(text.replace("True", "yes"), yes=False)
        self.assertEqual(shown, "&lt;b&gt;App null&lt;/b&gt;")

    def test_autoescape_off(self):
        text = '{% autoescape off %}{% js_call "render" component="App" %}{% endautoescape %}'
        self.assertEqual(show(text), "<b>App null</b>")

    def test_as_a_variable(self):
        text = '{% js_call "render" component="App" as html %}{{ html }}|{{ html|safe }}'
        self.assertEqual(show(text), "&lt;b&gt;App null&lt;/b&gt;|<b>App null</b>")
        text = '{% js_call "render" component="App" safe=True as html %}{{ html }}'
        self.assertEqual(show(text), "<b>App null</b>")
        text = '{% js_call "echo" items=items as it %}{% for i in it.items %}{{ i }},{% endfor %}'
        self.assertEqual(show(text, items=["<", 2]), "&lt;,2,")

    def test_arguments_in_a_dict(self):
        text = '{% js_call "name" arguments name="N" %}'
        self.assertEqual(show(text, arguments={"safe": "S"}), "N S")
        complaint = "must be a dict of arguments, not 'App'"
        with self.assertRaisesMessage(TemplateSyntaxError, complaint):
            show('{% js_call "render" "App" %}')

    def test_the_csrf_token_and_other_lazy_objects(self):
        from django.test import RequestFactory
        text = '{% load jshost %}{% js_call "name" name=csrf_token safe=False %}'
        shown = Template(text)
        from django.template import RequestContext
        request = RequestFactory().get("/")
        shown = shown.render(RequestContext(request))
        self.assertRegex(shown, "^[A-Za-z0-9]{64} undefined$")

    def test_errors_are_raised(self):
        with self.assertRaises(FunctionError):
            show('{% js_call "fail" fallback="x" %}')

class Fallbacks(SimpleTestCase):
    def show(self, text, /, **context):
        with self.assertLogs("jshost.function", "WARNING") as logged:
            shown = show(text, **context)
        self.assertIn("the fallback answers", logged.output[0])
        return shown

    def test_for_a_function_that_is_too_slow(self):
        text = '{% js_call "slow" timeout=0.1 fallback="<p>Later</p>" %}'
        self.assertEqual(self.show(text), "<p>Later</p>", "the template's own text")

    def test_a_variable_is_escaped_even_if_the_result_would_be_safe(self):
        text = '{% js_call "slow" timeout=0.1 safe=True fallback=text %}'
        self.assertEqual(self.show(text, text="<p>"), "&lt;p&gt;")
        self.assertEqual(self.show(text, text=mark_safe("<p>")), "<p>")

    def test_none(self):
        text = '{% js_call "slow" timeout=0.1 fallback=None as html %}'
        self.assertEqual(self.show(text + '{{ html|default_if_none:"-" }}'), "-")

    def test_a_host_that_is_down(self):
        with self.settings(JS_HOST={"ROOT_URL": "http://127.0.0.1:9"}):
            shown = self.show('{% js_call "render" component="App" fallback="<p>" %}')
            self.assertEqual(shown, "<p>")
            with self.assertRaises(ConnectionError):
                show('{% js_call "render" component="App" %}')
        self.assertEqual(show('{% js_call "name" name="N" safe=1 %}'), "N undefined")
"""

TEST_VALUES = """
import datetime, decimal, io, zoneinfo
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import F
from django.forms.models import model_to_dict
from django.http import QueryDict
from django.test import TestCase
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from jshost import Function, batch
from pages.models import Author, Kind

echo = Function("echo")

class Values(TestCase):
    @classmethod
    def setUpTestData(cls):
        at = datetime.datetime(2026, 5, 4, 10, 0, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        cls.ada = Author.objects.create(name="Ada", since=at)
        cls.bob = Author.objects.create(name="Bob")

    def test_strings(self):
        values = {
            "lazy": gettext_lazy("Yes"),
            "safe": mark_safe("<b>"),
            "proxied": SimpleLazyObject(lambda: "str"),
            "nested": [{"lazy": gettext_lazy("No")}],
            "choice": Kind.NOVEL,
            "label": Kind.NOVEL.label,
        }
        self.assertEqual(echo.call(**values), {
            "lazy": "Ja", "safe": "<b>", "proxied": "str", "nested": [{"lazy": "Nein"}],
            "choice": "novel", "label": "Novel",
        })
        with translation.override("fr"):
            self.assertEqual(echo.call(text=gettext_lazy("Yes")), {"text": "Oui"})

    def test_lazy_objects_of_other_types(self):
        values = {"list": SimpleLazyObject(lambda: [1]), "map": SimpleLazyObject(lambda: {"a": 2}),
                  "at": SimpleLazyObject(lambda: datetime.date(2026, 1, 2))}
        self.assertEqual(echo.call(**values), {"list": [1], "map": {"a": 2}, "at": "2026-01-02"})

    def test_times_have_their_zones(self):
        self.assertEqual(echo.call(at=self.ada.since), {"at": "2026-05-04T10:00:00+02:00"})
        self.ada.refresh_from_db()
        self.assertEqual(echo.call(at=self.ada.since), {"at": "2026-05-04T08:00:00+00:00"})
        local = timezone.localtime(self.ada.since)
        self.assertEqual(echo.call(at=local), {"at": "2026-05-04T10:00:00+02:00"})

    def test_decimals(self):
        self.ada.refresh_from_db()
        self.assertEqual(echo.call(price=self.ada.price), {"price": "9.90"})

    def test_querysets_of_values(self):
        names = Author.objects.order_by("name")
        ada = {"name": "Ada", "price": "9.90"}
        bob = {"name": "Bob", "price": "9.90"}
        self.assertEqual(echo.call(rows=names.values("name", "price")), {"rows": [ada, bob]})
        self.assertEqual(echo.call(rows=names.values_list("name", flat=True)),
                         {"rows": ["Ada", "Bob"]})
        self.assertEqual(echo.call(rows=names.values_list("name", "price")),
                         {"rows": [["Ada", "9.90"], ["Bob", "9.90"]]})
        self.assertEqual(echo.call(props={"rows": names.none().values()}), {"props": {"rows": []}})
        with self.assertNumQueries(1):
            batch([(echo, {"rows": names.values("name")})])

    def test_instances_say_what_to_pass_instead(self):
        has_none = r"a pages\\.models\\.Author has no JSON form; "
        pass_instead = has_none + r"pass .*model_to_dict.*values\\(\\)"
        with self.assertRaisesRegex(TypeError, "argument props.author: " + pass_instead):
            echo.call(props={"author": self.ada})
        with self.assertRaisesRegex(TypeError, r"argument authors\\[1\\]: " + pass_instead):
            echo.call(authors=["", self.bob])
        with self.assertRaisesRegex(TypeError, "argument author: " + pass_instead):
            echo.call(author=SimpleLazyObject(lambda: self.ada))
        pass_values = r"argument authors: .*QuerySet has no .*pass its .values\\(\\)"
        with self.assertRaisesRegex(TypeError, pass_values):
            echo.call(authors=Author.objects.all())
        self.assertEqual(echo.call(author=model_to_dict(self.bob, ["name"])),
                         {"author": {"name": "Bob"}})

    def test_what_came_with_a_request(self):
        self.assertEqual(echo.call(form=QueryDict("a=1&b=2")), {"form": {"a": "1", "b": "2"}})
        upload = SimpleUploadedFile("a.png", b"\\x89PNG")
        self.assertEqual(echo.call(file=upload), {"file": b"\\x89PNG"})

class AsyncViews(TestCase):
    async def test_acall(self):
        response = await self.async_client.get("/async?text=Hi")
        self.assertEqual(response.json(), {"text": "Hi"})

    async def test_a_queryset_of_an_async_view_is_awaited_first(self):
        from django.core.exceptions import SynchronousOnlyOperation
        with self.assertRaises(SynchronousOnlyOperation):
            await echo.acall(rows=Author.objects.values("name"))
        rows = [row async for row in Author.objects.values("name")]
        self.assertEqual(await echo.acall(rows=rows), {"rows": []})
"""

FILES = {
    "pages/models.py": MODELS,
    "pages/migrations/__init__.py": "",
    "pages/tests/__init__.py": "",
    "pages/tests/test_templates.py": TEST_TEMPLATES,
    "pages/tests/test_values.py": TEST_VALUES,
    "project/urls.py": """
from django.http import JsonResponse
from django.urls import path
from jshost import Function

async def view(request):
    return JsonResponse(await Function("echo").acall(text=request.GET["text"]))

urlpatterns = [path("async", view)]
""",
}


def suite(project: DjangoProject, name: str) -> subprocess.CompletedProcess[str]:
    made = project.manage("makemigrations", "pages")
    assert made.returncode == 0, made.stderr
    return project.manage("test", name)


@pytest.mark.parametrize(("name", "count"), [("test_templates", 11), ("test_values", 9)])
def test_the_projects_own_tests(tmp_path: Path, serve: StartHost, name: str, count: int) -> None:
    serve("host.config.js", HOST_CONFIG)
    done = suite(DjangoProject(tmp_path, files=FILES), f"pages.tests.{name}")
    assert done.returncode == 0, done.stderr
    assert f"Ran {count} tests" in done.stderr
