// What can be done: each in a dialog that says what will happen, and waits for a yes.

import { age, find, make, setText } from "./dom.js";
import { call, get, ofVersion, pathOf, predict } from "./server.js";
import { answerOf } from "./answers.js";

const field = (id, text, element) => [make("label", { for: id }, text), element];
const whole = (id, value, least = 0) =>
  make("input", { id, type: "number", min: least, max: 1024, step: 1, value, required: true, inputmode: "numeric" });

/** The dialog for all actions. */
export class Actions {
  constructor(board) {
    this.board = board;
    this.dialog = find("action");
    this.form = find("action-form");
    this.work = null;
    find("action-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.aborter?.abort());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
  }

  ask(title, go, body, work) {
    setText(find("action-title"), title);
    setText(find("action-go"), go);
    setText(find("action-cancel"), "Cancel");
    find("action-body").replaceChildren(...body);
    find("action-answer").replaceChildren();
    this.say("", "");
    this.work = work;
    find("action-go").hidden = find("action-go").disabled = false;
    this.dialog.showModal();
  }

  say(progress, error) {
    setText(find("action-progress"), progress);
    setText(find("action-error"), error);
  }

  async run() {
    const go = find("action-go");
    this.say("Working …", "");
    go.disabled = true;
    this.aborter = new AbortController();
    const begun = Date.now();
    const tick = setInterval(() => this.progress && this.say(this.progress((Date.now() - begun) / 1000), ""), 250);
    try {
      const done = await this.work(this.aborter.signal);
      this.say(done.text, "");
      if (!done.again) {
        go.hidden = true;
        setText(find("action-cancel"), "Close");
        find("action-cancel").focus();
      }
    } catch (error) {
      this.say("", error.name === "AbortError" ? "Cancelled." : error.message);
    } finally {
      clearInterval(tick);
      this.progress = null;
      go.disabled = false;
    }
  }

  status(answer) {
    return { text: answer.status ?? "Done." };
  }

  /** Tell of the workers of versions, while a call waits for them. */
  follow(isMeant, before) {
    this.progress = (seconds) => {
      const found = [...this.board.models.entries()].filter(([key, model]) => isMeant(key, model)).map(([, model]) => model);
      if (!found.length) return `${before} … (${age(seconds)})`;
      const states = found.flatMap((model) => model.workers.map((worker) => worker.state));
      const counts = [...new Set(states)].map((state) => `${states.filter((each) => each === state).length} ${state}`);
      return `Workers: ${counts.join(", ") || "none yet"} … (${age(seconds)})`;
    };
  }

  async register() {
    const archives = make("select", { id: "archive" });
    const url = make("input", { id: "url", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "https://… or s3://…" });
    const name = make("input", { id: "model-name", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "the archive's" });
    const workers = whole("initial-workers", 1);
    const waits = make("input", { id: "waits", type: "checkbox", checked: true });
    this.ask("Register a model", "Register", [
      make("p", {}, "The archive's code will run on this server."),
      ...field("archive", "From the model store", archives), ...field("url", "Or from a URL", url),
      ...field("model-name", "Name", name), ...field("initial-workers", "Workers", workers),
      make("label", { class: "choice", for: "waits" }, waits, " Wait for the workers; register nothing if they cannot load it"),
    ], async () => {
      const archive = url.value.trim() || archives.value;
      if (!archive) throw new Error("Choose an archive, or give a URL.");
      const query = new URLSearchParams({ url: archive, initial_workers: workers.value, synchronous: String(waits.checked) });
      if (name.value) query.set("model_name", name.value);
      const present = new Set(this.board.models.keys());
      this.follow((key) => !present.has(key), "Fetching and unpacking the archive");
      return this.status(await call("POST", `/models?${query}`));
    });
    const offer = (names) => archives.replaceChildren(
      make("option", { value: "" }, names.length ? "Choose an archive" : "No archive is there"),
      ...names.map((each) => make("option", { value: each }, each)));
    offer([]);
    try {
      offer((await get("/dashboard/store")).archives);
    } catch (error) {
      this.say("", error.message);
    }
  }

  scale(model) {
    const least = whole("min-worker", model.minimum);
    const most = whole("max-worker", Math.max(model.maximum, model.minimum));
    this.ask(`Scale ${model.name} ${model.version}`, "Scale", [
      make("p", {}, "Workers that leave finish what they have in hand."),
      ...field("min-worker", "Workers at least", least), ...field("max-worker", "Workers at most", most),
    ], async () => {
      if (Number(most.value) < Number(least.value)) most.value = least.value;
      const query = new URLSearchParams({ min_worker: least.value, max_worker: most.value, synchronous: "true" });
      this.follow((key, each) => each.name === model.name && each.version === model.version, "Scaling");
      return this.status(await call("PUT", `${pathOf(model, this.hasVersions)}?${query}`));
    });
  }

  setDefault(model) {
    this.ask(`Set ${model.name} ${model.version} as default`, "Set as default", [
      make("p", {}, `Requests for ${model.name} that name no version go to version ${model.version} from then on.`),
    ], async () => this.status(await call("PUT", `${pathOf(model, true)}/set-default`)));
  }

  unregister(model) {
    this.ask(`Unregister ${model.name} ${model.version}`, "Unregister", [
      make("p", {}, "Its waiting requests are refused, its workers end, and its unpacked files are removed."),
    ], async () => {
      this.follow((key, each) => each.name === model.name && each.version === model.version, "Ending the workers");
      return this.status(await call("DELETE", pathOf(model, this.hasVersions)));
    });
  }

  tryOut(model) {
    const file = make("input", { id: "input-file", type: "file" });
    const text = make("textarea", { id: "input-text", rows: 5, spellcheck: "false" });
    const kind = make("select", { id: "input-kind" }, ...["application/json", "text/plain", "application/octet-stream"]
      .map((each) => make("option", { value: each }, each)));
    this.ask(`Try ${model.name} ${model.version}`, "Send", [
      ...field("input-text", "Text or JSON", text), ...field("input-file", "Or a file", file), ...field("input-kind", "Content type", kind),
    ], async (signal) => {
      const chosen = file.files[0];
      if (chosen && chosen.size > this.board.traits.longest_request) throw new Error("The file is longer than max_request_size.");
      const place = find("action-answer");
      place.replaceChildren();
      const begun = performance.now();
      const response = await predict(ofVersion("predictions", model), chosen ?? text.value, chosen?.type || kind.value, signal);
      place.replaceChildren(await answerOf(response));
      return { text: `Answered with ${response.status} after ${Math.round(performance.now() - begun)} ms.`, again: true };
    });
  }

  get hasVersions() {
    return this.board.traits.has_versions;
  }
}
