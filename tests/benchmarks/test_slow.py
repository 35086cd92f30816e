from __future__ import annotations

from threading import Thread

import httpx

from benchmarks import slow


def test_slow_server_answers_every_request():
    with slow.server(0, 0.01) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            assert [client.get("/").json() for _ in range(2)] == [{}, {}]
        server.shutdown()
        thread.join()
