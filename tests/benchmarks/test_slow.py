from __future__ import annotations

from threading import Thread

import httpx

from benchmarks import slow


def test_slow_server_answers_every_request():
    with slow.server(0, 0.01) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}", trust_env=False) as client:
            assert [client.get("/").json() for _ in range(2)] == [{}, {}]
        server.shutdown()
        thread.join()
