"""A Redis Cluster: who serves which slot, and what does not fit into one."""
