"""Redis in detail: ``python -m benchmarks --redis``, each ratio with its goals.

Each scenario takes a `Bench`: a server, the URLs of both backends, and how much is measured.
Client and server are pinned to different CPUs ("cross") or to one ("same"): a round trip over the
loopback takes three times as long across CPUs.
"""
