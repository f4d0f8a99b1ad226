"""The checks that no broken store fails, each with the reason."""

WORKER = "a real worker: what breaks it fails a simpler check, too"

WITHOUT = {
    "backend.failure": WORKER,
    "backend.group_join": WORKER,
    "backend.killed_pool_process": WORKER,
    "backend.nested_chord": WORKER,
    "backend.result": WORKER,
    "ttl.refused": "the guard, which the core puts around every store, refuses such a ttl before "
    "it asks the store",
}
