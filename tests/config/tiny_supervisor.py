"""A supervisor over two tiny processes, in the place of PostgreSQL, the web process and the workers.

Arguments: data directory, port, and `deaf` for a worker that ignores SIGTERM.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from config.children import Child, spawn
from config.plan import Plan
from config.supervisor import Supervisor

FOUND = {"password": "p-1", "api_key": None, "webhook": {"slug": "demo", "secret": "s-1"}}
READY = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""
SLEEP = "import os, time; print('worker is', os.getpid(), flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP

data_dir, port = Path(sys.argv[1]), int(sys.argv[2])
plan = Plan(data_dir=data_dir, port=port, workers=1, database_url="postgresql://nobody@nowhere/nothing")
children = [
    Child("web", partial(spawn, [sys.executable, "-c", READY, str(port)])),
    Child("worker-1", partial(spawn, [sys.executable, "-c", DEAF if "deaf" in sys.argv else SLEEP])),
]
Supervisor(plan, children, preload=lambda: None, prepare=lambda: FOUND).run()
