"""The admin in a real Django project, with its own database and users."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.pages import texts

ROOT = Path(__file__).parents[2]
(SHOWN,) = texts("docs/django.md", "python")

SETTINGS = """
    import os
    SECRET_KEY = "x"
    ROOT_URLCONF = "shop.urls"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite"}}
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # others are slow
    USE_TZ = True
    ALLOWED_HOSTS = ["testserver"]
    CELERY_RESULT_BACKEND = os.environ["BACKEND"]
    CELERY_RESULT_EXTENDED = True
    OTHER_APPS = [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
    ]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ]
    STATIC_URL = "static/"
"""
"""Of a project; what `docs/django.md` shows is added."""
URLS = """
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("admin/", admin.site.urls)]
"""
TASKS = """
    from celery import Celery

    app = Celery("shop", broker="memory://")
    app.config_from_object("django.conf:settings", namespace="CELERY")

    @app.task
    def pay(amount):
        return amount

    @app.task
    def total(values):
        return sum(values)
"""
MANAGE = """
    import os
    from django.core.management import execute_from_command_line
    import sys

    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    execute_from_command_line(sys.argv)
"""
VISIT = """
    import json
    import os
    import sys

    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    import django

    django.setup()
    from celery import chord
    from django.contrib.auth.models import Permission, User
    from django.test import Client
    from shop.tasks import app, pay, total
    from tests.backend.bench import Bench

    bench = Bench(app)
    answer = chord([pay.s(1), pay.s(2), pay.s("<script>x</script>")])(total.s())
    parts = [each.id for each in answer.parent.results]
    bench.run(bench.take("pay"))
    bench.run(bench.queue.pop())

    User.objects.create_superuser("boss", password="p")
    clerk = User.objects.create_user("clerk", password="p", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_result"))
    User.objects.create_user("nobody", password="p", is_staff=True)

    def visit(name, path, method="get"):
        client = Client()
        client.login(username=name, password="p")
        page = getattr(client, method)(f"/admin/{path}")
        return page.status_code, page.content.decode()

    print(json.dumps({
        "parts": parts,
        "chord": answer.parent.id,
        "index": visit("boss", ""),
        "results": visit("boss", "kvbackends/result/"),
        "filtered": visit("boss", "kvbackends/result/?state=FAILURE"),
        "result": visit("boss", f"kvbackends/result/{parts[0]}/change/"),
        "hostile": visit("boss", f"kvbackends/result/{parts[2]}/change/"),
        "absent": visit("boss", "kvbackends/result/nosuch/change/"),
        "chords": visit("boss", "kvbackends/chord/"),
        "one chord": visit("boss", f"kvbackends/chord/{answer.parent.id}/change/"),
        "clerk's results": visit("clerk", "kvbackends/result/"),
        "clerk's chords": visit("clerk", "kvbackends/chord/"),
        "nobody's results": visit("nobody", "kvbackends/result/"),
        "nobody's result": visit("nobody", f"kvbackends/result/{parts[0]}/change/"),
        "add": visit("boss", "kvbackends/result/add/"),
        "delete": visit("boss", f"kvbackends/result/{parts[0]}/delete/", "post"),
    }))
"""


def run(folder, backend, *arguments):
    environment = {
        **os.environ,
        "BACKEND": backend,
        "PYTHONPATH": f"{folder}:{ROOT}",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path):
    (tmp_path / "shop").mkdir()
    for name, text in (
        ("shop/__init__.py", ""),
        ("shop/settings.py", SETTINGS),
        ("shop/urls.py", URLS),
        ("shop/tasks.py", TASKS),
        ("manage.py", MANAGE),
        ("visit.py", VISIT),
    ):
        (tmp_path / name).write_text(textwrap.dedent(text))
    added = SHOWN.replace("# ...", "*OTHER_APPS,").replace("project.celery:app", "shop.tasks:app")
    with (tmp_path / "shop/settings.py").open("a") as settings:
        settings.write(added)
    return tmp_path


@pytest.mark.parametrize("store", ["sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def test_the_pages(request, project, store):
    url = {"sqlite": f"sqlite:///{project}/results.db"}.get(store)
    backend = f"kv+{url or request.getfixturevalue('redis_url')}"
    run(project, backend, "manage.py", "migrate", "-v", "0")
    assert "No changes" in run(project, backend, "manage.py", "makemigrations", "--dry-run")
    seen = json.loads(run(project, backend, "visit.py").splitlines()[-1])
    parts = seen["parts"]

    def page(name, status=200):
        assert seen[name][0] == status, seen[name]
        return seen[name][1]

    assert "Celery results" in page("index")
    assert parts[0] in page("results")
    assert parts[1] not in page("results")
    assert parts[0] not in page("filtered")
    assert "shop.tasks.pay" in page("result")
    assert "&lt;script&gt;x" in page("hostile")
    assert "<script>x" not in page("hostile")
    page("absent", 404)
    assert seen["chord"] in page("chords")
    assert "2 of" in page("one chord")
    assert parts[1] in page("one chord")
    assert parts[0] in page("clerk's results")
    for name in ("clerk's chords", "nobody's results", "nobody's result", "add", "delete"):
        page(name, 403)


def test_where_the_store_cannot_list(project, memcached_url):
    script = project / "visit.py"
    head = textwrap.dedent(VISIT).partition("bench = Bench")[0]
    script.write_text(
        f'{head}\nUser.objects.create_superuser("boss", password="p")\nclient = Client()\n'
        'client.login(username="boss", password="p")\n'
        'print(client.get("/admin/kvbackends/result/").content.decode())\n'
    )
    run(project, f"kv+{memcached_url}", "manage.py", "migrate", "-v", "0")
    assert "errornote" in run(project, f"kv+{memcached_url}", "visit.py")
