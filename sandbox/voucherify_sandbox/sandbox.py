"""A running sandbox: the service behind a socket, as a context manager."""

from __future__ import annotations

from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Self

from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY
from voucherify_sandbox.limits import Limits
from voucherify_sandbox.readings import Readings
from voucherify_sandbox.seed import plant
from voucherify_sandbox.server import LOOPBACK, Server
from voucherify_sandbox.service import Service

if TYPE_CHECKING:
    from types import TracebackType

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.faults import Faults
    from voucherify_sandbox.messages import Served
    from voucherify_sandbox.movement import Movements
    from voucherify_sandbox.project import Project


class Sandbox:
    """One Voucherify project over HTTP on a loopback port, from `with` to its end."""

    def __init__(  # noqa: PLR0913 - the settings of a sandbox, all by name and optional
        self,
        *,
        port: int = 0,
        seed: str | None = None,
        application_id: str = APPLICATION_ID,
        secret_key: str = SECRET_KEY,
        readings: Readings | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; `start` or `with` listens.

        Args:
            port: where to listen; 0 takes any free port.
            seed: `demo`, or nothing for an empty project.
            application_id: the first half of the key pair the sandbox accepts.
            secret_key: the second half.
            readings: how the open questions are answered.
            limits: how many calls are allowed.
        """
        self._port = port
        self._service = Service(
            application_id, secret_key, readings or Readings(), limits or Limits()
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
        """Listen, and answer in the background."""
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
        """Refuse connections, and close those that are open, until `resume`."""
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
                # The interval is how long stopping may take, in seconds.
                self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
                self._thread.start()

    def _be_away(self, seconds: float) -> None:
        """Refuse connections for some seconds; called by a connection that is being served."""

        def away() -> None:
            self.pause()
            if not self._stopping.wait(seconds):
                self.resume()

        self._away = Thread(target=away, daemon=True)
        self._away.start()

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:8010`."""
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
        """What is in it."""
        return self._service.project

    @property
    def readings(self) -> Readings:
        """How the open questions are answered; may be changed while it runs."""
        return self._service.readings

    @property
    def limits(self) -> Limits:
        """How many calls are allowed; may be changed while it runs."""
        return self._service.limits

    @property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return self._service.faults

    @property
    def movements(self) -> Movements:
        """What happens in the project while it is read."""
        return self._service.movements

    @property
    def clock(self) -> Clock:
        """What time it is in the project."""
        return self._service.clock

    @property
    def requests(self) -> list[Served]:
        """Every API call since the start or since `forget_requests`, oldest first."""
        return self._service.requests

    @property
    def calls(self) -> int:
        """How many API calls that were."""
        return len(self._service.requests)

    def forget_requests(self) -> None:
        """Empty `requests`; numbers begin at 1 again."""
        self._service.forget_requests()
