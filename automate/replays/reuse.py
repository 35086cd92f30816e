"""What a replay from one step keeps of the original: every outcome that does not depend on that step. No Django.

A step is kept when it is neither the step itself nor behind it, and everything its record rests on is kept too. A
loop the step is in is opened again: its earlier iterations stay, its later ones run anew. What people consented to
stands for the data they were shown alone: it is not kept when the input is another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from automate.graph import Node, OnError, Plan
from automate.replays.paths import Segment, node_at, parse_path, require_node
from automate.runtime.loop_steps import ItemErrors, LoopRules
from automate_core.errors import ErrorCodes, Problem, ValidationFailed
from automate_core.steps import Effect


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last attempt of a step as the original recorded it; `seq` orders what happened."""

    id: str
    path: str
    node_type: str
    status: str
    effect: str
    error_code: str
    retries: bool
    seq: int


@dataclass(slots=True)
class Reuse:
    """What is kept as it is, the loops and iterations opened again, and the paths of calls that would be made twice."""

    kept: list[Outcome] = field(default_factory=list)
    reopened: list[Outcome] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def in_order(self) -> list[Outcome]:
        """Return all rows in the order in which things happened; a loop opened again before what is inside it."""
        first: dict[str, int] = {}
        for outcome in (*self.kept, *self.reopened):
            for loop in _around(outcome.path):
                first[loop] = min(first.get(loop, outcome.seq), outcome.seq)
        begun = {
            outcome.id: min(first.get(outcome.path, outcome.seq), outcome.seq) for outcome in self.reopened
        }
        placed = [(begun.get(one.id, one.seq), one.id not in begun, len(one.path), one) for one in
                  (*self.kept, *self.reopened)]  # fmt: skip
        return [one for *_, one in sorted(placed, key=lambda place: place[:3])]


def choose(plan: Plan, start: str, outcomes: Mapping[str, Outcome], *, void: Collection[str] = ()) -> Reuse:
    """Decide what a replay of `plan` from the step at the path `start` keeps of the recorded outcomes.

    Args:
        plan: of the version that will run.
        start: path of the first step to run again, or of an iteration.
        outcomes: of the original, by path.
        void: paths of steps that have to run again wherever they are, and with them what rests on them.

    Raises:
        ValidationFailed: the path leads nowhere, or what would be kept does not fit the plan.
    """
    path = parse_path(start)
    require_node(plan, path)
    chooser = _Chooser(outcomes, undone=_undone(plan, outcomes), void=frozenset(void))
    chooser.level(plan, "", path)
    if chooser.problems:
        raise ValidationFailed.of(chooser.problems, "The version to run does not fit what would be reused")
    known = {outcome.id for outcome in (*chooser.reuse.kept, *chooser.reuse.reopened)}
    chooser.reuse.repeated = sorted(
        outcome.path
        for outcome in outcomes.values()
        if outcome.effect == Effect.AT_MOST_ONCE
        and outcome.status == "SUCCESS"
        and outcome.id not in known
        and outcome.path not in chooser.undone
        and node_at(plan, parse_path(outcome.path)) is not None
    )
    return chooser.reuse


class _Chooser:
    def __init__(
        self, outcomes: Mapping[str, Outcome], *, undone: frozenset[str], void: frozenset[str]
    ) -> None:
        self.reuse = Reuse()
        self.problems: list[Problem] = []
        self.undone = undone
        self._void = void
        self._again = undone | void
        self._outcomes = outcomes
        self._inside: dict[str, list[Outcome]] = {}
        self._beside: dict[str, list[Outcome]] = {}
        for outcome in outcomes.values():
            for loop in _around(outcome.path):
                self._inside.setdefault(loop, []).append(outcome)
            prefix, _, name = outcome.path.rpartition("/")
            if not name.endswith("]"):
                self._beside.setdefault(prefix, []).append(outcome)

    def level(self, plan: Plan, prefix: str, path: tuple[Segment, ...]) -> None:
        """Choose among the steps of one plan: the graph's, or that of a loop's body in one iteration."""
        here, inner = path[0], path[1:]
        first = plan.nodes[plan.places[here.key]]
        behind = _behind(plan, first)
        self._refuse_strangers(plan, prefix, first)
        kept: set[int] = set()
        for node in plan.nodes:
            outcome = self._outcomes.get(prefix + node.key)
            if outcome is not None and node.index not in behind and self._holds(node, outcome, kept):
                self.reuse.kept += [outcome, *self._inside.get(outcome.path, ())]
                kept.add(node.index)
        if here.index is not None:
            if not _rests_on(first, kept):
                self._wrong(
                    "from", f"steps before the loop {first.key!r} have to run again; replay from one of them"
                )
            self._reopen(first, prefix, here.index, inner)

    def _holds(self, node: Node, outcome: Outcome, kept: set[int]) -> bool:
        """Tell whether a recorded outcome stands in the replay."""
        if self._again and any(
            one.path in self._again for one in (outcome, *self._inside.get(outcome.path, ()))
        ):
            return False
        if not _is_settled(outcome, node) or not _rests_on(node, kept):
            return False
        self._require_type(outcome, node)
        return True

    def _reopen(self, loop: Node, prefix: str, index: int, inner: tuple[Segment, ...]) -> None:
        """Keep a loop's iterations before `index`, and of that one what comes before the step."""
        path = prefix + loop.key
        assert loop.body is not None
        outcomes = [self._outcomes.get(path), self._outcomes.get(f"{path}[{index}]")]
        if None in outcomes:
            self._wrong("from", f"the original never came to {path}[{index}]")
            return
        for outcome in outcomes:
            assert outcome is not None
            self._require_type(outcome, loop)
            self.reuse.reopened.append(outcome)
        for earlier in range(index):
            iteration = self._outcomes.get(f"{path}[{earlier}]")
            if iteration is None or not _counts(iteration, loop):
                self._wrong("from", f"{path}[{earlier}] did not succeed; replay from it")
                return
            inside = self._inside.get(iteration.path, ())
            if any(one.path in self._void for one in inside):
                self._wrong(
                    "from", f"{path}[{earlier}] was approved for another input; replay from it or before it"
                )
                return
            self.reuse.kept += [iteration, *inside]
        if inner:
            self.level(loop.body, f"{path}[{index}]/", inner)

    def _refuse_strangers(self, plan: Plan, prefix: str, first: Node) -> None:
        """Refuse when a step that succeeded before the first one is not in the version to run."""
        begun = self._outcomes.get(prefix + first.key)
        for outcome in self._beside.get(prefix.removesuffix("/"), ()):
            key = outcome.path.removeprefix(prefix)
            if key in plan.places or key in plan.undo or outcome.status != "SUCCESS":
                continue
            if begun is None or outcome.seq < begun.seq:
                self._wrong("version", f"has no step {outcome.path!r}, whose output would be reused")

    def _require_type(self, outcome: Outcome, node: Node) -> None:
        if outcome.node_type != node.type:
            self._wrong(
                "version", f"step {outcome.path!r} is a {node.type} there; it was a {outcome.node_type}"
            )

    def _wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))


def _undone(plan: Plan, outcomes: Mapping[str, Outcome]) -> frozenset[str]:
    """Return the paths of steps that were undone when the original failed."""
    found: set[str] = set()
    if not any(node.undo for node in plan.every_node()):
        return frozenset()
    for path in outcomes:
        node = node_at(plan, parse_path(path))
        if node is not None and node.undo is not None and not path.endswith("]"):
            prefix, slash, _ = path.rpartition("/")
            by = outcomes.get(f"{prefix}{slash}{node.undo}")
            if by is not None and by.status == "SUCCESS":
                found.add(path)
    return frozenset(found)


def _behind(plan: Plan, first: Node) -> set[int]:
    """Return the places of a node and of all that edges lead to from it."""
    found, waiting = {first.index}, [first]
    while waiting:
        for edge in waiting.pop().outgoing:
            if edge.target not in found:
                found.add(edge.target)
                waiting.append(plan.nodes[edge.target])
    return found


def _is_settled(outcome: Outcome, node: Node) -> bool:
    """Tell whether the execution went on after this outcome."""
    if outcome.status in ("SUCCESS", "SKIPPED"):
        return True
    lost = outcome.error_code == ErrorCodes.WORKER_LOST
    return (
        outcome.status == "FAILED" and not outcome.retries and not lost and node.on_error is not OnError.FAIL
    )


def _rests_on(node: Node, kept: set[int]) -> bool:
    """Tell whether enough of what leads to a node is kept."""
    arrived = sum(edge.source in kept for edge in node.incoming)
    return (
        arrived == len(node.incoming)
        if node.needs is None
        else arrived >= min(node.needs, len(node.incoming))
    )


def _counts(iteration: Outcome, loop: Node) -> bool:
    """Tell whether a loop goes on after an iteration that ended so."""
    rules: LoopRules = loop.prepared
    return iteration.status == "SUCCESS" or (
        iteration.status == "FAILED" and rules.on_item_error is not ItemErrors.STOP
    )


def _around(path: str) -> Iterator[str]:
    """Yield the loops and iterations a path is inside of: `a[1]/b` is in `a[1]` and in `a`."""
    for end in (place for place, character in enumerate(path) if character == "/"):
        yield path[:end]
        yield path[:end].rpartition("[")[0]
    if path.endswith("]"):
        yield path.rpartition("[")[0]
