"""The fence against a model that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from target_voucherify.acknowledgement.state_fence import StateFence

MOVES = st.lists(
    st.one_of(
        st.just(("hold", 0)),
        st.just(("state", 0)),
        st.tuples(st.sampled_from(["release", "share"]), st.integers(0, 20)),
    ),
    max_size=80,
)


def test_state_without_records_before_it_passes_at_once() -> None:
    fence = StateFence()
    fence.add_state("a")
    assert fence.take_ready() == "a"
    assert fence.take_ready() is None


def test_state_waits_for_what_came_before_it_and_for_nothing_else() -> None:
    fence = StateFence()
    first = fence.hold()
    fence.add_state("a")
    second = fence.hold()
    assert fence.take_ready() is None
    fence.release(first)
    assert fence.take_ready() == "a"
    fence.add_state("b")
    assert fence.take_ready() is None
    fence.release(second)
    assert fence.take_ready() == "b"


def test_later_work_that_ends_early_lets_nothing_pass() -> None:
    fence = StateFence()
    first, second = fence.hold(), fence.hold()
    fence.add_state("a")
    fence.release(second)
    assert fence.take_ready() is None
    fence.release(first)
    assert fence.take_ready() == "a"


def test_shared_ticket_is_lifted_by_its_last_holder() -> None:
    fence = StateFence()
    ticket = fence.hold()
    fence.retain(ticket)
    fence.add_state("a")
    fence.release(ticket)
    assert fence.take_ready() is None
    fence.release(ticket)
    assert fence.take_ready() == "a"


class Remembering:
    """A fence that forgets nothing, next to the real one."""

    def __init__(self) -> None:
        self.fence = StateFence()
        self.held: list[int] = []
        self.arrived: list[tuple[set[int], str]] = []

    def move(self, move: str, which: int) -> None:
        if move == "hold":
            self.held.append(self.fence.hold())
        elif move == "state":
            self.arrived.append((set(self.held), str(len(self.arrived))))
            self.fence.add_state(self.arrived[-1][1])
        elif self.held and move == "share":
            self.held.append(self.held[which % len(self.held)])
            self.fence.retain(self.held[-1])
        elif self.held:
            self.fence.release(self.held.pop(which % len(self.held)))

    @property
    def newest_that_may_pass(self) -> str | None:
        free = [text for needs, text in self.arrived if not needs.intersection(self.held)]
        return free[-1] if free else None


@given(MOVES)
def test_never_early_never_out_of_order_never_forgotten(moves: list[tuple[str, int]]) -> None:
    model = Remembering()
    passed: list[str] = []
    for move, which in moves:
        model.move(move, which)
        state = model.fence.take_ready()
        passed += [] if state is None else [state]
        assert passed[-1:] == [state for state in [model.newest_that_may_pass] if state is not None]
    assert passed == sorted(set(passed), key=int)


@given(st.lists(st.booleans(), max_size=300))
def test_memory_does_not_grow_behind_a_ticket_that_is_never_given_back(moves: list[bool]) -> None:
    fence = StateFence()
    fence.hold()
    for arrives in moves:
        if arrives:
            fence.add_state("x")
        else:
            fence.release(fence.hold())
    assert len(fence._waiting) <= 2  # noqa: SLF001 - how much is kept is not seen from outside
