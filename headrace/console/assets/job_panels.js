// The tabs of a job beside its log: items, files, deliveries, history, details.

import { inPath } from "./api.js";
import { said, toast } from "./dialog.js";
import { keepRows, listing, make, part, setText, template } from "./dom.js";
import { byteCount, FINAL } from "./format.js";
import { showState, showTook, stateBadge, time } from "./parts.js";
import { keepFresh } from "./refresh.js";
import { saved } from "./saving.js";

/** @typedef {import("./job_page.js").Panel} Panel */

const LIVE_MS = 2000;
const CALM_MS = 15_000;
const ITEMS_PAGE = 100;
const MOST_ITEMS = 1000;

/** @type {Panel} */
export function itemsPanel({ api, job, signal, weather }) {
  const panel = template("items");
  const state = /** @type {HTMLSelectElement} */ (part(panel, "state"));
  let wanted = ITEMS_PAGE;
  let asking = new AbortController();
  const restart = () => {
    asking.abort();
    asking = new AbortController();
    const within = AbortSignal.any([signal, asking.signal]);
    keepFresh(async () => {
      const { items, next } = await api.get(`jobs/${job().id}/items`, { limit: wanted, state: state.value }, within);
      keepRows(part(panel, "rows"), items, (/** @type {any} */ item) => item.id, () => template("item-row"), (row, item) => fillItem(row, item, job().id));
      part(panel, "empty").hidden = items.length > 0;
      part(panel, "more").hidden = next === null || wanted >= MOST_ITEMS;
      return FINAL.has(job().state) ? CALM_MS : LIVE_MS;
    }, within, weather);
  };
  state.addEventListener("change", restart);
  part(panel, "more").addEventListener("click", () => {
    wanted = Math.min(MOST_ITEMS, wanted * 2);
    restart();
  });
  restart();
  return panel;
}

/** @param {HTMLElement} row @param {any} item @param {string} jobId */
function fillItem(row, item, jobId) {
  setText(part(row, "ordinal"), item.ordinal);
  setText(part(row, "name"), item.name);
  showState(part(row, "state"), item.state);
  setText(part(row, "tries"), item.attempt || "");
  showTook(part(row, "took"), item.started_at, item.finished_at);
  setText(part(row, "cause"), item.cause?.sentence ?? "");
  part(row, "log").href = `#/jobs/${jobId}/log?item=${item.ordinal}`;
}

/** @type {Panel} */
export function filesPanel({ api, job, me, signal, weather }) {
  const panel = make("div");
  const open = me.scopes.includes("data");
  keepFresh(async () => {
    const { files } = await api.get(`jobs/${job().id}/files`, {}, signal);
    const rows = files.map((/** @type {{path: string, size_bytes: number}} */ file) => {
      const get = make("button", "quiet", "Download");
      const path = `jobs/${job().id}/files/${file.path.split("/").map(inPath).join("/")}`;
      get.addEventListener("click", () => saved(async () => (await api.raw(path)).blob(), file.path));
      return [file.path, byteCount(file.size_bytes), open ? get : ""];
    });
    const parts = [listing(["File", "#Size", ""], rows, "The job has left no files, or they are gone.")];
    if (!open) parts.push(make("p", "note", "This key may not read what is in them."));
    panel.replaceChildren(...parts);
    return null;
  }, signal, weather);
  return panel;
}

/** @type {Panel} */
export function deliveriesPanel({ api, job, me, signal, weather }) {
  const panel = make("div");
  keepFresh(async () => {
    const { deliveries } = await api.get("deliveries", { job: job().id, limit: 200 }, signal);
    if (panel.contains(document.activeElement)) return LIVE_MS;
    const rows = deliveries.map((/** @type {any} */ one) => {
      const again = make("button", "quiet", "Send again");
      again.addEventListener("click", () => redeliver(api, one.id));
      const outcome = one.last_error ?? (one.last_status ? `status ${one.last_status}` : "");
      return [one.topic, one.url, deliveryState(one), String(one.attempts), outcome, time(one.created_at), me.scopes.includes("run") && one.state !== "pending" ? again : ""];
    });
    panel.replaceChildren(listing(["Topic", "To", "State", "#Tries", "Last answer", "Made", ""], rows, "Nothing was or will be sent of this job."));
    return FINAL.has(job().state) ? CALM_MS : LIVE_MS;
  }, signal, weather);
  return panel;
}

/** @param {any} one */
function deliveryState(one) {
  const shown = /** @type {Record<string, [string, string]>} */ ({ pending: ["waiting", "Owed"], delivered: ["completed", "Delivered"], failed: ["failed", "Given up"] })[one.state];
  const badge = make("span");
  showState(badge, shown?.[0] ?? "pending", shown?.[1] ?? one.state);
  return badge;
}

/** @param {import("./api.js").Api} api @param {string} id */
async function redeliver(api, id) {
  try {
    await api.post(`deliveries/${id}/redeliver`);
    /** @type {HTMLElement | null} */ (document.activeElement)?.blur();
    toast("It is sent once more, under the same id.");
  } catch (failure) {
    toast(said(failure));
  }
}

/** @type {Panel} */
export function historyPanel({ api, job, signal, weather }) {
  const panel = make("div");
  /** @type {any[]} */
  let known = [];
  keepFresh(async () => {
    const { events } = await api.get(`jobs/${job().id}/events`, { after: known.at(-1)?.id ?? 0 }, signal);
    if (events.length || !panel.firstChild) {
      known = [...known, ...events];
      const rows = known.map((event) => [time(event.at, "clock"), event.kind.replaceAll("-", " "), factsOf(event.data)]);
      panel.replaceChildren(listing(["Time", "What", ""], rows, "Nothing has happened yet."));
    }
    return FINAL.has(job().state) ? CALM_MS : LIVE_MS;
  }, signal, weather);
  return panel;
}

/** @param {Record<string, any>} data */
function factsOf(data) {
  const facts = Object.entries(data).filter(([, value]) => value !== null && typeof value !== "object");
  return make("span", "note", facts.map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", "));
}

/** @type {Panel} */
export function detailsPanel({ job }) {
  const one = job();
  const panel = make("div");
  const facts = make("dl", "evidence");
  const add = (/** @type {string} */ name, /** @type {string | Node | null | undefined} */ value) => {
    if (!value) return;
    const box = make("dd");
    box.append(value);
    facts.append(make("dt", "", name), box);
  };
  add("Id", one.id);
  add("Name", one.name);
  add("Workspace", one.workspace);
  add("Tenant", one.tenant);
  add("Root", one.root);
  add("Exclusivity key", one.key);
  add("Asked for", time(one.created_at, "day"));
  add("Began", one.started_at ? time(one.started_at, "day") : "");
  add("Ended", one.finished_at ? time(one.finished_at, "day") : "");
  add("Asked by", `${one.started_by || "nobody named"} (${one.trigger})`);
  add("Attempts", `${one.attempt}${one.crashes ? `, ${one.crashes} ended without a word` : ""}${one.failures ? `, ${one.failures} failed` : ""}`);
  add("State", stateBadge(one.state));
  panel.append(facts, make("pre", "plain", JSON.stringify(one.details, null, 2)));
  return panel;
}
