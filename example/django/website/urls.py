"""The site's addresses."""

from django.urls import path
from notes import views

urlpatterns = [
    path("", views.index, name="index"),
    path("new/", views.new, name="new"),
    path("preview/", views.preview, name="preview"),
    path("client.js", views.client, name="client"),
]
