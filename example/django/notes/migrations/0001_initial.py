"""The table, and a first pair of notes."""

from django.db import migrations, models

NOTES = [
    ("Hello from Django", "This note comes from a *model*, and its HTML from **markdown-it**."),
    (
        "Hello from React",
        "It was rendered on the server:\n\n1. look at the page's source\n2. filter",
    ),
]


def add_notes(apps, schema_editor):
    model = apps.get_model("notes", "Note")
    for title, text in NOTES:
        model.objects.create(title=title, text=text)


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        primary_key=True, serialize=False, auto_created=True, verbose_name="ID"
                    ),
                ),
                ("title", models.CharField(max_length=80)),
                ("text", models.TextField()),
                ("written", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ("-written", "-pk")},
        ),
        migrations.RunPython(add_notes, migrations.RunPython.noop),
    )
