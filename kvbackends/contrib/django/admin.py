"""The pages of Django's admin: lists of results and chords, and one of each."""

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.dateparse import parse_datetime
from django.utils.timezone import get_current_timezone, is_naive

from kvbackends.contrib.django.models import Chord, Result
from kvbackends.contrib.django.source import source
from kvbackends.errors import NotSupported, StoreError

TIMES = ("since", "until")
FILTERS = ("state", "task", "worker", *TIMES)
PAGE = 100
LONGEST = 20_000
"""Characters of a value that a page shows."""


class ReadOnly(admin.ModelAdmin):
    """Pages over `kvbackends.admin`; nothing is added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """No."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list; what hinders it is shown in its place."""
        try:
            return self._page(request, "list", self.listed(request))
        except (NotSupported, StoreError) as error:
            return self._page(request, "list", {"trouble": str(error)})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One of them; 404 if it is not stored."""
        found = self.one(object_id)
        if found is None:
            raise Http404(f"nothing is stored of {object_id}")
        return self._page(request, "one", {"title": object_id, "found": found})

    def listed(self, request: HttpRequest) -> dict[str, Any]:
        """The variables of the list."""
        raise NotImplementedError

    def one(self, object_id: str) -> Any:
        """What the page of one shows, or None."""
        raise NotImplementedError

    def _page(self, request: HttpRequest, page: str, about: dict[str, Any]) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        options = self.opts
        context = {
            **self.admin_site.each_context(request),
            "opts": options,
            "title": str(options.verbose_name_plural).capitalize(),
            "store": source().backend.as_uri(),
            **about,
        }
        name = f"kvbackends/django/{options.model_name}_{page}.html"
        return TemplateResponse(request, name, context)


@admin.register(Result)
class ResultAdmin(ReadOnly):
    """Results, the newest first."""

    def listed(self, request: HttpRequest) -> dict[str, Any]:
        """A page of the results that the query asks for."""
        asked = {name: request.GET.get(name, "").strip() for name in FILTERS}
        wanted = {name: _moment(text) if name in TIMES else text for name, text in asked.items()}
        page = source().results(
            **{name: value or None for name, value in wanted.items()},
            limit=PAGE,
            cursor=request.GET.get("cursor"),
        )
        following = request.GET.copy()
        following["cursor"] = page.cursor or ""
        return {
            "results": page.results,
            "asked": asked,
            "following": following.urlencode() if page.cursor else "",
        }

    def one(self, object_id: str) -> Any:
        """The record with its children."""
        detail = source().result(object_id)
        if detail is None:
            return None
        fields = [(name, _text(value)) for name, value in detail.record.items() if value]
        return {"detail": detail, "fields": fields}


@admin.register(Chord)
class ChordAdmin(ReadOnly):
    """Chords in flight, the oldest first."""

    def listed(self, request: HttpRequest) -> dict[str, Any]:
        """All of them."""
        return {"chords": sorted(source().chords(), key=lambda each: -(each.age or 0))}

    def one(self, object_id: str) -> Any:
        """The chord with its missing parts."""
        return source().chord(object_id)


def _moment(text: str) -> Any:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    if found is not None and is_naive(found):
        found = found.replace(tzinfo=get_current_timezone())
    return found


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=repr, indent=1)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … {len(text):,} characters"
