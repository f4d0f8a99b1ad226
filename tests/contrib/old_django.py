"""Run by `test_beside.py`: results of django-celery-results are read by `fallback=django-db`."""

import sys

import django
from celery import Celery, states
from django.conf import settings
from django.core.management import call_command

folder = sys.argv[1]
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/old.db"}},
    INSTALLED_APPS=["django_celery_results"],
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

old = Celery("old", broker="memory://", backend="django-db", set_as_current=False)
old.backend.store_result("good", {"a": ["ü", 1]}, states.SUCCESS)
old.backend.store_result("bad", ValueError("old"), states.FAILURE, traceback="lines")
old.GroupResult("group", [old.AsyncResult("good")]).save()

new = Celery("new", broker="memory://", backend=f"kv+sqlite:///{folder}/new.db")
new.conf.result_backend_transport_options = {"fallback": "django-db"}
assert new.AsyncResult("good").get(timeout=60) == {"a": ["ü", 1]}
assert isinstance(new.AsyncResult("bad").result, ValueError)
assert new.AsyncResult("bad").traceback == old.AsyncResult("bad").traceback
assert new.AsyncResult("absent").state == states.PENDING
assert sorted(task for task, _ in new.backend.get_many(["good", "bad"], max_iterations=1)) == [
    *("bad", "good"),
]
restored = new.GroupResult.restore("group", app=new)
assert restored.get(timeout=10) == [{"a": ["ü", 1]}]
print("read")
