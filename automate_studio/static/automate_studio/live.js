// The live page: one socket, one execution followed at a time (the newest), nodes coloured as its messages say.
"use strict";

const LOG_LINES = 500;
const PAUSE_MS = [250, 500, 1000, 2000, 5000];

const page = document.getElementById("live");
const nodes = new Map([...document.querySelectorAll("#nodes li")].map((row) => [row.dataset.node, row]));
const at = (id) => document.getElementById(id);

let socket = null;
let attempts = 0;
let execution = null;
let seq = 0;

function words(state) {
  return state === "unknown" ? "…" : state;
}

function setStatus(state) {
  at("status").dataset.state = state;
  at("status").textContent = words(state);
  const busy = state === "running" || state === "waiting";
  if (at("stop")) at("stop").disabled = !busy;
}

function setNode(id, state, detail = "") {
  const row = nodes.get(id);
  if (!row) return;
  row.dataset.state = state;
  row.querySelector(".said").textContent = state;
  row.querySelector(".detail").textContent = detail;
}

function took(seconds) {
  return typeof seconds === "number" ? `${seconds < 1 ? Math.round(seconds * 1000) + " ms" : seconds.toFixed(1) + " s"}` : "";
}

function log(text, moment) {
  at("nothing").hidden = true;
  const line = document.createElement("li");
  const time = document.createElement("time");
  const when = moment ? new Date(moment) : new Date();
  time.textContent = when.toLocaleTimeString([], { hour12: false });
  line.append(time, text);
  const list = at("log");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
  list.append(line);
  while (list.children.length > LOG_LINES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function follow(id) {
  execution = id;
  const link = at("execution");
  link.hidden = !id;
  if (id) link.href = `${link.dataset.href}${encodeURIComponent(id)}/change/`;
}

function workflowState(state) {
  if (state.execution_status === "CANCELLED") return "cancelled";
  if (state.execution_status === "WAITING") return "waiting";
  return state.status;
}

function synchronise(state) {
  follow(state.execution_id);
  seq = state.seq;
  for (const id of nodes.keys()) setNode(id, "idle");
  for (const node of state.completed_nodes) setNode(node.node_id, "completed", took(node.duration_seconds));
  for (const node of state.failed_nodes) setNode(node.node_id, node.is_cancelled ? "cancelled" : "failed", node.error || "");
  for (const node of state.skipped_nodes) setNode(node.node_id, "skipped");
  for (const node of Object.values(state.executing_nodes)) setNode(node.node_id, node.is_waiting ? "waiting" : "running");
  setStatus(workflowState(state));
}

const NODE = {
  node_started: (m) => setNode(m.node_id, "running"),
  node_waiting: (m) => setNode(m.node_id, "waiting", m.wake_at ? `until ${new Date(m.wake_at).toLocaleTimeString()}` : ""),
  node_completed: (m) => setNode(m.node_id, "completed", took(m.duration_seconds)),
  node_failed: (m) => setNode(m.node_id, m.will_retry ? "waiting" : "failed", m.will_retry ? `${m.error}; trying again` : m.error),
  node_cancelled: (m) => setNode(m.node_id, "cancelled"),
  node_skipped: (m) => setNode(m.node_id, "skipped"),
};

const WORKFLOW = {
  workflow_started: () => setStatus("running"),
  workflow_waiting: () => setStatus("waiting"),
  workflow_completed: () => setStatus("completed"),
  workflow_failed: () => setStatus("failed"),
  workflow_cancelled: () => setStatus("cancelled"),
};

function told(message) {
  const parts = [message.type.replace("_", " ")];
  if (message.path || message.node_id) parts.push(message.path || message.node_id);
  if (message.route && message.route !== "default") parts.push(`→ ${message.route}`);
  if (message.text) parts.push(message.text);
  if (message.error) parts.push(message.error);
  return parts.join("  ");
}

function ask() {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send('{"type":"request_state"}');
}

function hear(message) {
  if (message.type === "state_sync") {
    synchronise(message.state);
    return;
  }
  if (!message.execution_id) return;
  if (message.execution_id !== execution) {
    // Ids grow with time: the newest execution is the one to follow.
    if (execution && message.execution_id < execution) return;
    follow(message.execution_id);
    seq = 0;
    for (const id of nodes.keys()) setNode(id, "idle");
    setStatus("running");
  }
  log(told(message), message.at);
  if (message.type === "node_log" || message.type === "node_token") return;
  if (message.seq <= seq) return;
  if (message.seq !== seq + 1) ask();
  seq = message.seq;
  if (NODE[message.type]) NODE[message.type](message);
  if (message.type.startsWith("iteration_")) setNode(message.node_id, "running", `item ${message.iteration + 1}`);
  if (WORKFLOW[message.type]) WORKFLOW[message.type](message);
  else if (at("status").dataset.state === "waiting") setStatus("running");
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const query = new URLSearchParams({ tenant: page.dataset.tenant });
  socket = new WebSocket(`${scheme}//${location.host}/ws/workflow/${page.dataset.workflow}/?${query}`);
  socket.onopen = () => {
    attempts = 0;
    at("connection").textContent = "live";
  };
  socket.onmessage = (event) => hear(JSON.parse(event.data));
  socket.onclose = (event) => {
    const pause = PAUSE_MS[Math.min(attempts++, PAUSE_MS.length - 1)];
    const why = event.reason ? ` (${event.reason})` : "";
    at("connection").textContent = `not connected${why}; trying again`;
    setTimeout(connect, pause);
  };
}

async function command(name, button) {
  button.disabled = true;
  at("problem").hidden = true;
  try {
    const answer = await fetch(page.dataset[name], {
      method: "POST",
      headers: { "X-CSRFToken": page.dataset.csrf, "X-Tenant-ID": page.dataset.tenant },
    });
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      throw new Error(said.error || `The server answered ${answer.status}`);
    }
  } catch (error) {
    at("problem").textContent = error.message;
    at("problem").hidden = false;
  } finally {
    button.disabled = button.id === "stop" && at("status").dataset.state !== "running" && at("status").dataset.state !== "waiting";
  }
}

if (nodes.size) {
  if (at("start")) at("start").addEventListener("click", () => command("start", at("start")));
  if (at("stop")) at("stop").addEventListener("click", () => command("stop", at("stop")));
  connect();
}
