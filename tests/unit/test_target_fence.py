"""The fence against a model that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from target_voucherify.acknowledgement.state_fence import Fence

MOVES = st.lists(
    st.one_of(
        st.just(("hold", 0)),
        st.just(("state", 0)),
        st.tuples(st.sampled_from(["release", "share"]), st.integers(0, 20)),
    ),
    max_size=80,
)


def test_state_without_records_before_it_passes_at_once() -> None:
    fence = Fence()
    fence.arrive("a")
    assert fence.passing() == "a"
    assert fence.passing() is None


def test_state_waits_for_what_came_before_it_and_for_nothing_else() -> None:
    fence = Fence()
    first = fence.hold()
    fence.arrive("a")
    second = fence.hold()
    assert fence.passing() is None
    fence.release(first)
    assert fence.passing() == "a"
    fence.arrive("b")
    assert fence.passing() is None
    fence.release(second)
    assert fence.passing() == "b"


def test_later_work_that_ends_early_lets_nothing_pass() -> None:
    fence = Fence()
    first, second = fence.hold(), fence.hold()
    fence.arrive("a")
    fence.release(second)
    assert fence.passing() is None
    fence.release(first)
    assert fence.passing() == "a"


def test_shared_ticket_is_lifted_by_its_last_holder() -> None:
    fence = Fence()
    ticket = fence.hold()
    fence.share(ticket)
    fence.arrive("a")
    fence.release(ticket)
    assert fence.passing() is None
    fence.release(ticket)
    assert fence.passing() == "a"


class Remembering:
    """A fence that forgets nothing, next to the real one."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.held: list[int] = []
        self.arrived: list[tuple[set[int], str]] = []

    def move(self, move: str, which: int) -> None:
        if move == "hold":
            self.held.append(self.fence.hold())
        elif move == "state":
            self.arrived.append((set(self.held), str(len(self.arrived))))
            self.fence.arrive(self.arrived[-1][1])
        elif self.held and move == "share":
            self.held.append(self.held[which % len(self.held)])
            self.fence.share(self.held[-1])
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
        state = model.fence.passing()
        passed += [] if state is None else [state]
        assert passed[-1:] == [state for state in [model.newest_that_may_pass] if state is not None]
    assert passed == sorted(set(passed), key=int)


@given(st.lists(st.booleans(), max_size=300))
def test_memory_does_not_grow_behind_a_ticket_that_is_never_given_back(moves: list[bool]) -> None:
    fence = Fence()
    fence.hold()
    for arrives in moves:
        if arrives:
            fence.arrive("x")
        else:
            fence.release(fence.hold())
    assert len(fence._waiting) <= 2  # noqa: SLF001 - how much is kept is not seen from outside
