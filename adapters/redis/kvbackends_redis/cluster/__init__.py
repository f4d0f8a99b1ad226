"""Redis Cluster: which node serves a key, and operations on keys of several slots."""
