"""Lays out the canvas of a result as a picture: tasks and groups in columns, with arrows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kvbackends.admin import Node, ResultDetail, ResultInfo

WIDE, HIGH = 190, 44
"""A box, in pixels."""
RIGHT, DOWN = 60, 14
"""Between boxes."""
MEMBERS = 12
"""Children of one box that are drawn; those above are counted in one more box."""
MOST = 300
"""Boxes of a picture."""


class Box(NamedTuple):
    """A task, a group or the rest of a long list."""

    id: str
    """Empty: it leads to no page."""
    title: str
    line: str
    state: str
    x: int
    y: int


class Arrow(NamedTuple):
    """From the middle of a box's right edge to that of another's left."""

    path: str


class Picture(NamedTuple):
    """All boxes and arrows, and the size that they need."""

    width: int
    height: int
    boxes: list[Box]
    arrows: list[Arrow]

    @property
    def words(self) -> str:
        """What the picture shows, for those who do not see it."""
        states = Counter(box.state for box in self.boxes if box.state)
        listed = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        return f"{len(self.boxes)} tasks and groups: {listed}"


def picture(detail: ResultDetail, near: Mapping[str, ResultInfo]) -> Picture | None:
    """The result with its parent, its children and its chord's body; None if it is alone.

    `near` has what is stored of the parent and of the body.
    """
    info, below = detail.info, detail.children
    if detail.chord:
        below = [*below, _node(detail.chord, near.get(detail.chord), [])]
    if not below and not detail.parent:
        return None
    root = Node(info.id, info.state, info.task, False, below)
    if detail.parent:
        root = _node(detail.parent, near.get(detail.parent), [root])
    drawing = _Drawing()
    drawing.place(root, 0)
    boxes = drawing.boxes
    width = max(box.x for box in boxes) + WIDE
    return Picture(width, drawing.bottom - DOWN, boxes, drawing.arrows)


def _node(task_id: str, info: ResultInfo | None, children: list[Node]) -> Node:
    state, task = (info.state, info.task) if info else ("PENDING", "")
    return Node(task_id, state, task, False, children)


class _Drawing:
    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self.bottom = 0

    def place(self, node: Node, column: int) -> int:
        """Place a node beside the middle of its children; the y of its box."""
        shown = [node] if len(self.boxes) >= MOST else node.children[:MEMBERS]
        if shown == [node]:
            shown = []
        below = [self.place(each, column + 1) for each in shown]
        if len(shown) < len(node.children):
            below.append(self._rest(node.children[len(shown) :], column + 1))
        y = (below[0] + below[-1]) // 2 if below else self._row()
        x = column * (WIDE + RIGHT)
        self.boxes.append(_box(node, x, y))
        self.arrows.extend(_arrow(x, y, child) for child in below)
        return y

    def _rest(self, nodes: Sequence[Node], column: int) -> int:
        y, states = self._row(), Counter(node.state or "group" for node in nodes)
        line = ", ".join(f"{count} {state}" for state, count in states.most_common(3))
        self.boxes.append(Box("", f"{len(nodes)} more", line, "", column * (WIDE + RIGHT), y))
        return y

    def _row(self) -> int:
        y, self.bottom = self.bottom, self.bottom + HIGH + DOWN
        return y


def _box(node: Node, x: int, y: int) -> Box:
    if not node.is_group:
        return Box(node.id, node.task or "task", node.id, node.state, x, y)
    states = Counter(each.state for each in _tasks(node))
    line = ", ".join(f"{count} {state}" for state, count in states.most_common(3))
    return Box("", f"group of {len(node.children)}", line, "", x, y)


def _tasks(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.is_group:
            yield from _tasks(child)
        else:
            yield child


def _arrow(x: int, y: int, child: int) -> Arrow:
    begin, end = x + WIDE, x + WIDE + RIGHT
    middle, from_y, to_y = begin + RIGHT // 2, y + HIGH // 2, child + HIGH // 2
    return Arrow(f"M{begin} {from_y}C{middle} {from_y} {middle} {to_y} {end - 5} {to_y}")
