"""Redis at length: ``python -m benchmarks --redis``, each ratio beside what is aimed at.

Every scenario takes a `Bench`: one server, the URLs of both backends, and how much is measured.
Client and server are pinned, to CPUs of their own ("cross") and to one ("same"): a round trip over
the loopback costs three times as much across.
"""
