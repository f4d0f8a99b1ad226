"""Groups of nodes under load while one node after another dies, or stands still, and comes back."""
