// The page: keeps what the stream tells, and lets the parts show it.

import { Actions } from "./actions.js";
import { Chart } from "./charts.js";
import { age, count, duration, find, number, setText, setTiles } from "./dom.js";
import { ModelTable, readyOf, showTrouble, troubleOf } from "./models.js";
import { LogPanel, offerConfiguration, showMachine } from "./panels.js";
import { Refused, setToken, watch } from "./server.js";
import { VersionDialog } from "./version.js";

const RETRY = 2000;
const RETRY_WHEN_FULL = 10000;
/** Milliseconds without an event after which the page says so, and after which it asks anew: one comes each second. */
const SILENCE = 5000;
const LONGEST_SILENCE = 30000;

/** What is known of the server. */
const board = { at: 0, traits: {}, server: {}, machine: null, models: new Map(), columns: [], workerColumns: [], troubleOf };

const actions = new Actions(board);
const dialog = new VersionDialog(board, actions);
const open = (key) => dialog.open(key);
const table = new ModelTable(open);
const log = new LogPanel();
let charts = null;

const named = (columns, values) => Object.fromEntries(columns.map((column, at) => [column, values[at]]));

function modelOf(row) {
  const model = named(board.columns, row);
  model.workers = model.workers.map((worker) => named(board.workerColumns, worker));
  return model;
}

function begin(state) {
  board.columns = state.columns;
  board.workerColumns = state.worker_columns;
  board.traits = state.traits;
  board.models.clear();
  find("login").hidden = true;
  find("board").hidden = false;
  find("register-open").hidden = !state.traits.controls_models;
  charts ??= [new Chart(find("chart-rate"), "rate"), new Chart(find("chart-times"), "times")];
  charts.forEach((chart) => chart.set(state.chart));
  log.set(state.lines);
  take(state, null);
  if (!document.documentElement.dataset.complete) {
    openLinked();
    document.documentElement.dataset.complete = String(Math.round(performance.now()));
  }
}

/** Tries a prediction where the address asks for it: `#try=MODEL`. */
function openLinked() {
  const name = /^#try=(.+)$/.exec(location.hash)?.[1];
  const model = name && [...board.models.values()].find((each) => encodeURIComponent(each.name) === name && each.is_default);
  if (model) actions.tryOut(model);
}

function change(state) {
  if (state.chart) charts.forEach((chart) => chart.add(state.chart));
  if (state.lines) log.add(state.lines);
  for (const key of state.gone ?? []) board.models.delete(key);
  take(state, Object.keys(state.models));
}

function take(state, changed) {
  board.at = state.at;
  board.server = state.server;
  board.machine = state.machine ?? board.machine;
  for (const [key, row] of Object.entries(state.models)) board.models.set(key, modelOf(row));
  table.show(board.models, changed);
  showTrouble(board.models, board.server, open);
  showNow();
  showMachine(board.machine, board.traits, board.at);
  dialog.update();
  setText(find("connection"), "Live");
}

function showNow() {
  const { server, models } = board;
  let ready = 0;
  let wanted = 0;
  let refusals = 0;
  const names = new Map();
  for (const model of models.values()) {
    ready += readyOf(model);
    wanted += model.minimum;
    names.set(model.name, model.refusals);
  }
  for (const each of names.values()) refusals += each;
  const codes = Object.entries(server.answers);
  const errors = codes.filter(([code]) => code >= "500").reduce((sum, [, answers]) => sum + answers, 0);
  const told = (counts) => Object.entries(counts).map(([name, value]) => `${name}: ${count(value)}`).join(", ");
  setText(find("about"), `${server.release} · ${board.traits.dialect} · up for ${age(board.at - server.started)}`);
  setTiles(find("tiles"), [
    ["Requests/s", number(server.rate)],
    ["p50", duration(server.p50), "of the last five minutes"],
    ["p95", duration(server.p95)],
    ["p99", duration(server.p99)],
    ["In flight", count(server.in_flight)],
    ["Waiting", count(server.waiting)],
    ["Answered", count(server.finished), "predictions"],
    ["Refused", count(refusals), "in the last five minutes"],
    ["HTTP errors (5xx)", count(errors), told(server.answers)],
    ["gRPC calls", count(Object.values(server.calls).reduce((sum, calls) => sum + calls, 0)), told(server.calls)],
    ["Not let in", count(Object.values(server.refused).reduce((sum, each) => sum + each, 0)), told(server.refused)],
    ["Workers ready", `${count(ready)} of ${count(wanted)}`],
    ["Models", count(names.size), `${count(models.size)} versions`],
  ]);
}

function askForToken(message) {
  find("board").hidden = true;
  find("register-open").hidden = true;
  find("login").hidden = false;
  setText(find("connection"), "A token is needed");
  setText(find("login-message"), message);
  find("token").focus();
}

let hasToken = false;
/** The stream that is read: when something came last, and what ends it. */
let stream = null;

async function follow() {
  let pause = RETRY;
  const own = { heard: performance.now(), aborter: new AbortController() };
  stream = own;
  try {
    await watch((name, state) => {
      own.heard = performance.now();
      if (name === "state") begin(state);
      else change(state);
    }, own.aborter.signal);
    setText(find("connection"), "The server has ended the stream; asking again …");
  } catch (error) {
    if (error instanceof Refused && error.wantsToken) {
      askForToken(hasToken ? "The server does not take this token." : "");
      return;
    }
    if (error instanceof Refused) pause = RETRY_WHEN_FULL;
    setText(find("connection"), error instanceof Refused ? error.message : "The server cannot be reached; asking again …");
  } finally {
    if (stream === own) stream = null;
  }
  setTimeout(follow, pause);
}

/** A server that hangs, or a network that is gone, ends no stream: what is shown then is old, and must not look live. */
function noteSilence() {
  const silent = stream === null ? 0 : performance.now() - stream.heard;
  if (silent > LONGEST_SILENCE) stream.aborter.abort();
  else if (silent > SILENCE) setText(find("connection"), `Nothing heard of the server for ${age(silent / 1000)}`);
}

find("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = find("token");
  const token = input.value.trim();
  if (!/^[!-~]+$/.test(token)) {
    setText(find("login-message"), "This is no token: it has characters that no token has.");
    return;
  }
  setToken(token);
  hasToken = true;
  input.value = "";
  setText(find("login-message"), "");
  follow();
});
find("register-open").addEventListener("click", () => actions.register());
offerConfiguration();
setInterval(noteSilence, 1000);
follow();
