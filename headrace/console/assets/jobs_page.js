// All jobs that the key may see, newest first: is anything wrong?

import { fill, keepRows, link, make, part, setText, template } from "./dom.js";
import { count, counted, FINAL, kindOf, titleOf, UNFINISHED } from "./format.js";
import { showJobState, showTime, showTook } from "./parts.js";
import { keepFresh } from "./refresh.js";

/** @typedef {import("./api.js").Job} Job */

const PAGE = 50;
const LIVE_MS = 2000;
const CALM_MS = 5000;
const COUNTS_MS = 5000;
const TYPING_MS = 300;
const FILTERS = ["state", "dialect", "workspace", "flow", "tenant", "text"];

/** @type {import("./app.js").Page} */
export function jobsPage(stage) {
  const { api, root, signal, weather } = stage;
  const page = template("jobs");
  /** @type {Record<string, string>} */
  const filters = Object.fromEntries(FILTERS.map((name) => [name, stage.query.get(name) ?? ""]));
  /** @type {Job[]} */
  let newest = [];
  /** @type {Job[]} */
  let older = [];
  /** @type {number | null} */
  let next = null;
  let paged = false;
  let asking = new AbortController();

  /** @param {number | null} [before] */
  const read = (before = null) => {
    const state = filters.state === "unfinished" ? UNFINISHED : filters.state;
    return api.get("jobs", { ...filters, state, before, limit: PAGE }, asking.signal);
  };
  const show = () => {
    const lowest = newest.length ? newest[newest.length - 1].seq : Infinity;
    const rows = [...newest, ...older.filter((job) => job.seq < lowest)];
    keepRows(part(page, "rows"), rows, (job) => job.id, () => template("job-row"), fillRow);
    part(page, "more").hidden = next === null;
    showNothing(part(page, "empty"), rows.length === 0, Object.values(filters).some(Boolean));
  };
  const refresh = async () => {
    const answer = await read();
    if (paged) {
      const seen = new Set(answer.jobs.map((/** @type {Job} */ job) => job.id));
      older = [...newest.filter((job) => !seen.has(job.id)), ...older];
      // What a filter no longer fits is gone, as far as we have just been told.
      const lowest = answer.jobs.at(-1)?.seq ?? 0;
      older = older.filter((job) => job.seq < lowest);
    } else next = answer.next;
    newest = answer.jobs;
    show();
    return newest.some((job) => !FINAL.has(job.state)) ? LIVE_MS : CALM_MS;
  };
  const restart = () => {
    asking.abort();
    asking = new AbortController();
    [newest, older, next, paged] = [[], [], null, false];
    keepFresh(refresh, AbortSignal.any([signal, asking.signal]), weather);
  };

  stage.title("Jobs");
  bindFilters(page, filters, restart, signal);
  part(page, "more").addEventListener("click", async () => {
    const answer = await read(next);
    paged = true;
    older = [...older, ...answer.jobs];
    next = answer.next;
    show();
  });
  root.replaceChildren(page);
  signal.addEventListener("abort", () => asking.abort());
  restart();
  keepFresh(() => showStanding(stage, page), signal, weather);
  showWorkspaces(stage, page, filters.workspace);
  return (path, query) => {
    if (path.length) return false;
    for (const name of FILTERS) {
      filters[name] = query.get(name) ?? "";
      part(page, name).value = filters[name];
    }
    restart();
    return true;
  };
}

/** @param {HTMLElement} row @param {Job} job */
function fillRow(row, job) {
  showJobState(part(row, "state"), job);
  const name = part(row, "name");
  name.href = `#/jobs/${job.id}`;
  setText(name, titleOf(job));
  setText(part(row, "kind"), `${kindOf(job.dialect)} in ${job.workspace}`);
  setText(part(row, "cause"), job.cause?.sentence ?? "");
  setText(part(row, "tenant"), job.tenant === "default" ? "" : job.tenant);
  showTime(part(row, "asked"), job.created_at);
  showTook(part(row, "took"), job.started_at, job.finished_at);
}

/**
 * Keep filters and the place in step: what is chosen makes a step back, what is typed changes the place that one is at.
 * @param {HTMLElement} page @param {Record<string, string>} filters @param {() => void} changed @param {AbortSignal} signal
 */
function bindFilters(page, filters, changed, signal) {
  /** @type {ReturnType<typeof setTimeout>} */
  let typing;
  const set = (/** @type {string} */ name, /** @type {string} */ value, /** @type {boolean} */ step) => {
    if (signal.aborted || filters[name] === value) return;
    filters[name] = value;
    const given = Object.entries(filters).filter(([, each]) => each);
    const place = `#/jobs${given.length ? `?${new URLSearchParams(given)}` : ""}`;
    if (step) history.pushState(null, "", place);
    else history.replaceState(null, "", place);
    changed();
  };
  for (const name of FILTERS) {
    const field = part(page, name);
    field.value = filters[name];
    if (field.tagName === "SELECT") field.addEventListener("change", () => set(name, field.value, true));
    else {
      field.addEventListener("input", () => {
        clearTimeout(typing);
        typing = setTimeout(() => set(name, field.value.trim(), false), TYPING_MS);
      });
    }
  }
  /** @type {HTMLFormElement} */ (page.querySelector("form")).addEventListener("submit", (event) => event.preventDefault());
}

/** @param {HTMLElement} box @param {boolean} empty @param {boolean} filtered */
function showNothing(box, empty, filtered) {
  box.hidden = !empty;
  const words = filtered
    ? ["No job fits.", "Take a filter away, or look for something shorter."]
    : ["No jobs yet.", "Run one from the page Run, or with headrace run FLOW --tenant T --follow."];
  fill(box, ...words.map((text) => make("p", "", text)));
}

/** @param {import("./app.js").Stage} stage @param {HTMLElement} page */
async function showStanding({ api, me, signal }, page) {
  const { unfinished, ended } = await api.get("counts", {}, signal);
  const parts = [
    ["running", unfinished.running + unfinished.admitted, "running", ""],
    ["waiting", unfinished.waiting + unfinished.scheduled, "waiting", ""],
    ...(unfinished.paused ? [["paused", unfinished.paused, "paused", ""]] : []),
    ["failed", ended.failed, "failed within a day", ended.failed ? "bad" : ""],
  ];
  keepRows(part(page, "counts"), parts, ([state]) => state, () => {
    const row = make("li");
    row.append(link("", ""));
    return row;
  }, (row, [state, many, words, kind]) => {
    const to = /** @type {HTMLAnchorElement} */ (row.firstElementChild);
    to.href = `#/jobs?state=${state}`;
    row.className = kind;
    if (to.textContent !== `${count(many)} ${words}`) fill(to, make("b", "", count(many)), ` ${words}`);
  });
  if (me.scopes.includes("define")) await showAlerts(api, signal, page);
  return COUNTS_MS;
}

/** @param {import("./api.js").Api} api @param {AbortSignal} signal @param {HTMLElement} page */
async function showAlerts(api, signal, page) {
  const [{ problems }, { nodes }] = await Promise.all([api.get("problems", {}, signal), api.get("nodes", {}, signal)]);
  const alerts = [];
  if (!nodes.some((/** @type {any} */ node) => node.alive)) alerts.push("No worker is alive: jobs wait.");
  if (problems.length) alerts.push(`${counted(problems.length, "mistake")} in the project: what was good before stays in force.`);
  keepRows(part(page, "alerts"), alerts, (text) => text, () => make("li"), (row, text) => {
    if (!row.firstChild) row.append(`${text} `, link("#/server", "See what"));
  });
}

/** @param {import("./app.js").Stage} stage @param {HTMLElement} page @param {string} chosen */
async function showWorkspaces({ api, signal, weather }, page, chosen) {
  await keepFresh(async () => {
    const { workspaces } = await api.get("workspaces", {}, signal);
    const field = /** @type {HTMLSelectElement} */ (part(page, "workspace"));
    for (const { name } of workspaces) field.add(new Option(name, name));
    field.value = chosen;
    part(page, "workspace-label").hidden = workspaces.length < 2;
    return null;
  }, signal, weather);
}
