"""The site's own tests; those of the pages need no Node. Run them with: manage.py test"""

from django.test import TestCase

from jshost import ConnectionError
from jshost.testing import override_function, run_host
from notes.models import Note


@override_function("markdown", calls=lambda text: f"<p>{text}</p>")
class PageTests(TestCase):
    def test_react_gets_the_notes_as_html(self):
        Note.objects.all().delete()
        Note.objects.create(title="First", text="Text")
        with override_function("render", returns="<p>Notes</p>") as render:
            self.assertContains(self.client.get("/"), '<div id="app"><p>Notes</p></div>')
        (call,) = render.calls
        self.assertEqual(call["component"], "Notes")
        self.assertEqual(call["props"]["notes"][0]["html"], "<p>Text</p>")

    def test_without_a_host_the_browser_renders(self):
        is_down = override_function("render", raises=ConnectionError("down"))
        with is_down, self.assertLogs("jshost.function", "WARNING"):
            response = self.client.get("/")
        self.assertContains(response, '<div id="app"></div>')

    async def test_preview(self):
        response = await self.async_client.post("/preview/", {"text": "Hi"})
        self.assertEqual(response.content.decode(), "<p>Hi</p>")

    def test_a_new_note(self):
        self.assertContains(self.client.get("/new/"), "<form")
        self.assertRedirects(
            self.client.post("/new/", {"title": "T", "text": "*x*"}),
            "/",
            fetch_redirect_response=False,
        )
        self.assertTrue(Note.objects.filter(title="T").exists())


class FunctionTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(run_host())

    def test_the_page_as_react_renders_it(self):
        page = self.client.get("/")
        self.assertContains(page, "<h2>Hello from React</h2>")
        self.assertContains(page, "<em>model</em>")

    async def test_html_in_markdown_is_escaped(self):
        response = await self.async_client.post("/preview/", {"text": "<script>"})
        self.assertEqual(response.content, b"<p>&lt;script&gt;</p>\n")

    def test_the_bundle(self):
        self.assertContains(self.client.get("/client.js"), "hydrateRoot")
