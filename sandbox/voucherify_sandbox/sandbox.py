"""A running sandbox, as a context manager."""

from __future__ import annotations

from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Self

from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY
from voucherify_sandbox.dialect import Dialect
from voucherify_sandbox.limits import Limits
from voucherify_sandbox.readings import Readings
from voucherify_sandbox.seed import plant
from voucherify_sandbox.server import LOOPBACK, Server
from voucherify_sandbox.service import Service

if TYPE_CHECKING:
    from types import TracebackType

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.faults import Faults
    from voucherify_sandbox.movement import Movements
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import LoggedRequest


class Sandbox:
    """One Voucherify project over HTTP on a loopback port, while its `with` block runs."""

    def __init__(  # noqa: PLR0913 - the settings of a sandbox, all by name and optional
        self,
        *,
        port: int = 0,
        seed: str | None = None,
        application_id: str = APPLICATION_ID,
        secret_key: str = SECRET_KEY,
        readings: Readings | None = None,
        limits: Limits | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        """Create a sandbox; `start` or `with` listens.

        Args:
            port: to listen on; 0 takes any free port.
            seed: `demo`, or `None` for an empty project.
            application_id: the first half of the accepted key pair.
            secret_key: the second half.
            readings: the answers to open questions.
            limits: the rate limits.
            dialect: how responses are written.
        """
        self._port = port
        self._service = Service(
            application_id,
            secret_key,
            readings or Readings(),
            limits or Limits(),
            dialect=dialect or Dialect(),
        )
        self._server: Server | None = None
        self._thread: Thread | None = None
        self._away: Thread | None = None
        self._stopping = Event()
        self._switch = Lock()
        if seed is not None:
            plant(seed, self.project)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> Self:
        """Listen, and serve in a thread."""
        self.resume()
        return self

    def stop(self) -> None:
        """Stop listening and close every connection."""
        self._stopping.set()
        self.project.webhooks.stop()
        if self._away is not None:
            self._away.join()
        self.pause()

    def pause(self) -> None:
        """Close all connections and refuse new ones until `resume`."""
        with self._switch:
            if self._server is not None and self._thread is not None:
                self._server.stop()
                self._thread.join()
                self._server = None

    def resume(self) -> None:
        """Listen again, on the same port."""
        with self._switch:
            if self._server is None:
                self._server = Server(self._port, self._service, self._be_away)
                self._port = self._server.server_address[1]
                # The poll interval in seconds; stopping takes that long at most.
                self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
                self._thread.start()

    def _be_away(self, seconds: float) -> None:
        """Refuse connections for some seconds; called from a connection's own thread."""

        def away() -> None:
            self.pause()
            if not self._stopping.wait(seconds):
                self.resume()

        self._away = Thread(target=away, daemon=True)
        self._away.start()

    @property
    def url(self) -> str:
        """The address, such as `http://127.0.0.1:8010`."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def application_id(self) -> str:
        """The first half of the key pair."""
        return self._service.application_id

    @property
    def secret_key(self) -> str:
        """The second half of the key pair."""
        return self._service.secret_key

    @property
    def project(self) -> Project:
        """The state of the project."""
        return self._service.project

    @property
    def readings(self) -> Readings:
        """The answers to open questions; may be changed while it runs."""
        return self._service.readings

    @property
    def limits(self) -> Limits:
        """The rate limits; may be changed while it runs."""
        return self._service.limits

    @property
    def faults(self) -> Faults:
        """The faults that are set."""
        return self._service.faults

    @property
    def movements(self) -> Movements:
        """The movements that are set."""
        return self._service.movements

    @property
    def clock(self) -> Clock:
        """The clock of the project."""
        return self._service.clock

    @property
    def requests(self) -> list[LoggedRequest]:
        """The API calls since the start or since `forget_requests`, oldest first."""
        return self._service.requests

    @property
    def calls(self) -> int:
        """The number of `requests`."""
        return len(self._service.requests)

    def forget_requests(self) -> None:
        """Empty `requests`; numbers begin at 1 again."""
        self._service.forget_requests()
