"""Pages that are rendered by React on the server, and hydrated in the browser."""

from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.timezone import localtime
from django.views.decorators.http import require_GET

from jshost import Function
from notes.forms import NoteForm
from notes.models import Note

markdown = Function("markdown")
bundle = Function("bundle", timeout=30)


@require_GET
def index(request):
    """The notes; what React gets of them is plain, the same on the server and in the browser."""
    notes = list(Note.objects.values("id", "title", "text", "written"))
    htmls = markdown.map({"text": note["text"]} for note in notes)
    for note, html in zip(notes, htmls, strict=True):
        if isinstance(html, Exception):
            raise html
        note["html"] = html
        note["written"] = localtime(note["written"]).strftime("%d %B %Y")
    return render(request, "notes/index.html", {"props": {"notes": notes}})


def new(request):
    form = NoteForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("index")
    return render(request, "notes/new.html", {"form": form})


async def preview(request):
    """The text as HTML, while it is being written."""
    if request.method != "POST":  # Django 4.2 has no @require_POST for async views
        return HttpResponseNotAllowed(["POST"])
    return HttpResponse(await markdown.acall(text=request.POST.get("text", "")))


@require_GET
def client(request):
    """What the browser runs: bundled by esbuild from the components that the server renders."""
    return HttpResponse(bundle.call(), content_type="text/javascript; charset=utf-8")
