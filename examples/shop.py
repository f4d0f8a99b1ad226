"""The application of compose.yaml: a chord that sums the prices of a few orders.

``celery -A shop worker`` runs its tasks, and ``python shop.py`` sends one chord.
"""

import os

from celery import Celery, chord

SERVER = os.environ.get("REDIS", "redis://localhost:6379")

app = Celery("shop", broker=f"{SERVER}/1", backend=f"kv+{SERVER}/0")
app.conf.task_acks_late = True
app.conf.result_extended = True


@app.task
def price(order: int) -> int:
    """Return the price of an order."""
    return order * 5


@app.task
def total(prices: list[int]) -> int:
    """Return the sum of all prices."""
    return sum(prices)


if __name__ == "__main__":
    print(chord([price.s(order) for order in range(10)])(total.s()).get(timeout=60))
