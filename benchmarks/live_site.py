"""The web process of the live workload; with `--worker` a worker is a thread of it, for a layer in memory."""

from __future__ import annotations

import sys
import threading

import django


def main() -> None:
    """Serve on a port until told to stop."""
    django.setup()
    import uvicorn

    from automate_core.outbox.worker import Worker
    from config.processes import HOST, SOCKETS

    if "--worker" in sys.argv:
        threading.Thread(target=Worker().run, daemon=True).start()
    uvicorn.run(
        "config.asgi:application", host=HOST, port=int(sys.argv[1]), loop="uvloop", http="httptools",
        log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2, **SOCKETS,
    )  # fmt: skip


if __name__ == "__main__":
    main()
