"""Exposes an application from code that is not asynchronous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunnel.app.blocking import Blocking
from tunnel.app.container import ClientContainer
from tunnel.app.exposure import Exposed as AsyncExposed
from tunnel.app.exposure import expose as expose_asynchronously

__all__ = ["Exposed", "expose"]


class Exposed(Blocking[AsyncExposed]):
    """An application that visitors of a server reach while the context is entered; made by ``expose``."""

    @property
    def url(self) -> str:
        """As ``tunnel.Exposed.url``."""
        return self.look(lambda exposed: exposed.url)

    @property
    def host(self) -> str:
        """As ``tunnel.Exposed.host``."""
        return self.look(lambda exposed: exposed.host)

    @property
    def path_prefix(self) -> str:
        """As ``tunnel.Exposed.path_prefix``."""
        return self.look(lambda exposed: exposed.path_prefix)

    def wait_closed(self, *, timeout_s: float | None = None) -> None:
        """Return once ``close`` has run, in another thread.

        Raises:
            RegistrationRefused: The server took the claim back, or will not renew it.
            TimeoutError: Neither within ``timeout_s`` seconds.
        """
        self.call(lambda exposed: exposed.wait_closed(), timeout_s=timeout_s)

    def close(self, *, drain_s: float | None = None) -> None:
        """As ``tunnel.Client.aclose``: let conversations under way finish for ``drain_s`` seconds, then end the rest.

        Leaving the context does so with the configured ``drain_s``, and after an exception with none.
        """
        self.call(lambda exposed: exposed.client.aclose(drain_s=drain_s))


def expose(
    app: object,
    *,
    to: str | Sequence[str],
    token: str | None = None,
    host: str | None = None,
    path_prefix: str = "/",
    host_header: str | None = None,
    client_id: str | None = None,
    tls: Mapping[str, object] | None = None,
    insecure: bool = False,
    limits: Mapping[str, object] | None = None,
    timeout_s: float | None = None,
    container: ClientContainer | None = None,
) -> Exposed:
    """Let visitors of a server reach an application of this process or of its surroundings.

    ::

        with tunnel.blocking.expose(app, to="grpc://edge:7000", token=..., host="demo.example.test") as exposed:
            print(exposed.url)
            exposed.wait_closed()

    Entering the context returns when visitors reach the application; what ``tunnel.expose`` raises is raised there. An
    interrupt (Ctrl-C) meanwhile ends it. The application is called in the thread of the context, by an event loop of
    its own, and imported there if it is named: what belongs to another loop, connections for instance, it cannot use.

    Args:
        app: As of ``tunnel.expose``, and so are the others.
        to: URL of the server, or several in order of preference.
        token: The credential; None: the environment variable ``TUNNEL_TOKEN`` holds it.
        host: To claim; None: the server chooses one that the credential allows, and it is kept.
        path_prefix: Whole segments of the paths to claim. Requests keep it.
        host_header: Host that the application sees: None the visitor's, ``"target"`` its own, else this.
        client_id: As in a client's configuration.
        tls: As the table of that name in a client's configuration: ``{"ca": "ca.pem"}``.
        insecure: Permits plain text to servers that are not on this machine. The token then travels in clear.
        limits: As the table of that name in a client's configuration: ``{"drain_s": 3}``.
        timeout_s: For the first connection; None: as long as it takes to try every server once.
        container: Parts to use instead of the usual ones.

    Source: docs/howto/use-it-from-blocking-code.md.
    """
    return Exposed(
        lambda: expose_asynchronously(
            app,
            to=to,
            token=token,
            host=host,
            path_prefix=path_prefix,
            host_header=host_header,
            client_id=client_id,
            tls=tls,
            insecure=insecure,
            limits=limits,
            timeout_s=timeout_s,
            container=container,
        )
    )
