"""The chord under every interleaving of deliveries, faults and time."""
