// Talks to the server: its state as a stream, and calls with the management token, which stays in this module.

let token = "";

/** Remember the token until the page is closed; it is in no URL and in no storage. */
export function setToken(value) {
  token = value;
}

/** A refusal, or an answer that is an error. */
export class Refused extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }

  /** Whether a (better) token is wanted. */
  get wantsToken() {
    return this.type === "InvalidKeyException" || this.status === 401;
  }
}

async function ask(method, path, { body, type, signal } = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (type) headers["Content-Type"] = type;
  const response = await fetch(path, { method, headers, body, signal, cache: "no-store", redirect: "error", credentials: "omit" });
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const text = await response.text();
  try {
    const error = JSON.parse(text);
    const more = [error.exception, error.text].filter(Boolean).join(": ");
    return new Refused(response.status, error.type ?? "", [error.message ?? text, more].filter(Boolean).join(" — "));
  } catch {
    return new Refused(response.status, "", text || `The server answered ${response.status}.`);
  }
}

export const get = async (path) => (await ask("GET", path)).json();
export const call = async (method, path) => (await ask(method, path)).json();
export const predict = (path, body, type, signal) => ask("POST", path, { body, type, signal });

/** Return the path of a version in the management API; without versions, that of its model. */
export function pathOf(model, hasVersions) {
  const name = `/models/${encodeURIComponent(model.name)}`;
  return hasVersions ? `${name}/${encodeURIComponent(model.version)}` : name;
}

export const ofVersion = (kind, model) =>
  `/dashboard/${kind}/${encodeURIComponent(model.name)}/${encodeURIComponent(model.version)}`;

/**
 * Read the stream of events until it ends.
 *
 * EventSource cannot send the token, so the stream is read with fetch().
 */
export async function watch(onEvent, signal) {
  const response = await ask("GET", "/dashboard/stream", { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const at = event.indexOf("\ndata: ");
      if (at > 0) onEvent(event.slice("event: ".length, at), JSON.parse(event.slice(at + "\ndata: ".length)));
    }
  }
}
