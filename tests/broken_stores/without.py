"""The checks that no broken store fails, each with the reason."""

CORE = "the core keeps the rule: no adapter can break it"
WORKER = "a real worker: what breaks it fails a simpler check, too"
MORE = "more of the same as a quick check that a broken store fails"

WITHOUT = {
    "backend.failure": WORKER,
    "backend.group_join": WORKER,
    "backend.killed_pool_process": WORKER,
    "backend.nested_chord": WORKER,
    "backend.result": WORKER,
    "faults.increment_is_not_repeated": CORE,
    "faults.lost_race_after_a_lost_answer": CORE,
    "faults.other_errors_are_not": CORE,
    "faults.sweep_is_retried": CORE,
    "features.follow_from_overrides": CORE,
    "features.masked": CORE,
    "listing.nothing_is_found_where_it_is_lacking": CORE,
    "listing.refused_where_it_is_lacking": CORE,
    "model.agrees_always": MORE,
    "sizes.cost_is_flat": CORE,
    "sizes.many": MORE,
    "ttl.refused": CORE,
}
