// One job: why it ended as it did, why it waits, its stages, and behind tabs all else that is known of it.

import { askCancel, askPause, askRerun, letGoOn } from "./job_actions.js";
import { causeBox } from "./cause.js";
import { detailsPanel, deliveriesPanel, filesPanel, historyPanel, itemsPanel } from "./job_panels.js";
import { logPanel } from "./log_view.js";
import { keepRows, link, make, part, setText, showOne, template } from "./dom.js";
import { count, counted, didWords, FINAL, kindOf, titleOf } from "./format.js";
import { isHeld, showJobState, showState, showTime, showTook, time } from "./parts.js";
import { keepFresh } from "./refresh.js";

/** @typedef {import("./api.js").Job} Job */

/**
 * What a panel works with: the page's stage, and the job as it was last read.
 * @typedef {import("./app.js").Stage & {job: () => Job}} JobStage
 * @typedef {(stage: JobStage) => HTMLElement} Panel
 */

const LIVE_MS = 1000;
const CALM_MS = 10_000;
const STREAMS_SHOWN = 8;

/** @type {Record<string, [string, Panel, (job: Job) => boolean]>} */
const TABS = {
  log: ["Log", logPanel, () => true],
  items: ["Items", itemsPanel, (job) => job.items !== null],
  files: ["Files", filesPanel, () => true],
  deliveries: ["Deliveries", deliveriesPanel, () => true],
  history: ["History", historyPanel, () => true],
  details: ["Details", detailsPanel, () => true],
};

/** @type {import("./app.js").Page} */
export function jobPage(stage) {
  const { api, root, signal, weather } = stage;
  const id = stage.path[0];
  const page = template("job");
  /** @type {Job | null} */
  let job = null;
  /** @type {{tab: string, query: URLSearchParams}} */
  let wanted = { tab: stage.path[1] ?? "", query: stage.query };
  let leaving = new AbortController();
  signal.addEventListener("abort", () => leaving.abort());

  const openPanel = () => {
    if (!job) return;
    const usual = job.items && job.state !== "waiting" ? "items" : "log";
    const open = TABS[wanted.tab] ? wanted.tab : usual;
    leaving.abort();
    leaving = new AbortController();
    showTabs(part(page, "tabs"), job, open);
    const within = AbortSignal.any([signal, leaving.signal]);
    const panel = TABS[open][1]({ ...stage, signal: within, query: wanted.query, job: () => /** @type {Job} */ (job) });
    part(page, "panel").replaceChildren(panel);
  };
  const refresh = async () => {
    const first = job === null;
    job = /** @type {Job} */ (await api.get(`jobs/${encodeURIComponent(id)}`, {}, signal));
    show(page, job, stage);
    if (first) {
      root.replaceChildren(page);
      openPanel();
    }
    const ended = FINAL.has(job.state);
    const waits = !ended && (job.state !== "running" || job.items !== null);
    showWaiting(part(page, "waiting"), waits ? await api.get(`jobs/${job.id}/waiting`, {}, signal) : null);
    return ended ? CALM_MS : LIVE_MS;
  };

  stage.title("Job");
  root.append(make("p", "empty", "Reading the job…"));
  const again = () => weather.wakes.dispatchEvent(new Event("again"));
  part(page, "pause").addEventListener("click", () => job && askPause(api, job, again));
  part(page, "resume").addEventListener("click", () => job && letGoOn(api, job, again));
  part(page, "cancel").addEventListener("click", () => job && askCancel(api, job, again));
  part(page, "rerun").addEventListener("click", () => job && askRerun(api, job));
  keepFresh(refresh, signal, weather);
  return (path, query) => {
    if (path[0] !== id) return false;
    wanted = { tab: path[1] ?? "", query };
    openPanel();
    return true;
  };
}

/** @param {HTMLElement} page @param {Job} job @param {import("./app.js").Stage} stage */
function show(page, job, stage) {
  const title = titleOf(job) + (job.dialect === "hotglue" && job.tenant !== "default" ? ` for ${job.tenant}` : "");
  const ended = FINAL.has(job.state);
  const mayRun = stage.me.scopes.includes("run");
  stage.title(`${title}, ${job.state}`);
  setText(part(page, "title"), title);
  showJobState(part(page, "state"), job);
  const pausable = job.items !== null && !ended && mayRun && job.cancel_requested_at === null;
  const [pause, resume] = [part(page, "pause"), part(page, "resume")];
  if (!pausable) pause.hidden = resume.hidden = true;
  else if (isHeld(job)) showOne(resume, pause);
  else showOne(pause, resume);
  part(page, "cancel").hidden = ended || !mayRun || job.cancel_requested_at !== null;
  part(page, "rerun").hidden = !ended || !mayRun;
  showFacts(part(page, "facts"), job);
  const cause = part(page, "cause");
  cause.hidden = job.cause === null;
  if (job.cause && !cause.firstChild) {
    cause.classList.toggle("calm", job.state === "cancelled" || job.state === "completed");
    cause.append(...causeBox(job.cause));
  }
  part(page, "stages").hidden = job.steps.length === 0;
  keepRows(part(page, "stage-rows"), job.steps, (step) => String(step.ordinal), () => template("stage-row"), (row, step) => fillStage(row, step, job.cause));
  showFanOut(page, job);
}

/** @param {HTMLElement} box @param {Job} job */
function showFacts(box, job) {
  if (box.dataset.state === job.state) return;
  box.dataset.state = job.state;
  const took = make("span");
  if (job.started_at) {
    const length = make("span");
    showTook(length, job.started_at, job.finished_at);
    took.append(job.finished_at ? "took " : "runs for ", length);
  }
  const asked = make("span");
  asked.append("asked for ", time(job.created_at), job.started_by && job.started_by !== job.tenant ? ` by ${job.started_by}` : "");
  const parts = [make("span", "", `${kindOf(job.dialect)} in ${job.workspace}`), asked];
  if (job.public_id !== job.id) parts.splice(1, 0, make("span", "", job.public_id));
  if (job.started_at) parts.push(took);
  if (job.attempt > 1) parts.push(make("span", "", `attempt ${job.attempt}`));
  if (job.rerun_of) {
    const again = make("span");
    again.append("run again of ", link(`#/jobs/${job.rerun_of}`, "an earlier job"));
    parts.push(again);
  }
  box.replaceChildren(...parts);
}

/** @param {HTMLElement} row @param {import("./api.js").Step} step @param {import("./api.js").Cause | null} said what stands above already */
function fillStage(row, step, said) {
  setText(part(row, "name"), step.name);
  showState(part(row, "state"), step.state);
  showTime(part(row, "began"), step.started_at, "clock");
  showTook(part(row, "took"), step.started_at, step.finished_at);
  const did = part(row, "did");
  const told = JSON.stringify([step.output.record_count, step.output.export_summary, step.cause?.sentence, said?.sentence]);
  if (did.dataset.told === told) return;
  did.dataset.told = told;
  did.replaceChildren(make("div", "", didWords(step.output)), ...streamsOf(step.output.record_count ?? {}));
  if (step.cause && step.cause.sentence !== said?.sentence) did.append(make("div", "stage-cause", step.cause.sentence));
}

/** @param {Record<string, number>} counts */
function streamsOf(counts) {
  const streams = Object.entries(counts).sort(([, one], [, other]) => other - one);
  if (streams.length < 2) return streams.length && streams[0][0] ? [make("span", "kind", streams[0][0])] : [];
  const list = make("ul", "streams");
  for (const [name, many] of streams.slice(0, STREAMS_SHOWN)) {
    const row = make("li");
    row.append(make("span", "", name), make("span", "number", count(many)));
    list.append(row);
  }
  const rest = streams.length - STREAMS_SHOWN;
  return rest > 0 ? [list, make("span", "kind", `and ${rest} more`)] : [list];
}

/** @param {HTMLElement} page @param {Job} job */
function showFanOut(page, job) {
  const items = job.items;
  part(page, "fan-out").hidden = items === null;
  if (!items) return;
  const { total, completed, failed, cancelled, live } = items;
  const progress = /** @type {HTMLProgressElement} */ (part(page, "progress"));
  progress.max = Math.max(total, 1);
  progress.value = completed + failed + cancelled;
  const rest = total - completed - failed - cancelled - live;
  const words = [`${count(completed)} completed`, failed && `${count(failed)} failed`, cancelled && `${count(cancelled)} cancelled`, live && `${count(live)} running`, rest && `${count(rest)} to come`];
  setText(part(page, "tally"), `${counted(total, "item")}: ${words.filter(Boolean).join(", ")}`);
}

/** @param {HTMLElement} box @param {any} wait */
function showWaiting(box, wait) {
  box.hidden = !wait || wait.code === "running" || wait.code === "ended";
  const told = JSON.stringify(wait);
  if (box.hidden || box.dataset.told === told) return;
  box.dataset.told = told;
  const sentence = make("p");
  sentence.append(make("b", "", `Why it waits: `), wait.sentence);
  box.replaceChildren(sentence);
  if (wait.due_at) {
    const due = make("p", "", "Next try: ");
    due.append(time(wait.due_at));
    box.append(due);
  }
  if (wait.holder_id) box.append(link(`#/jobs/${wait.holder_id}`, "Show the job in the way"));
  if (wait.instruction) box.append(make("p", "note", wait.instruction));
}

/** @param {HTMLElement} nav @param {Job} job @param {string} open */
function showTabs(nav, job, open) {
  const tabs = Object.entries(TABS).filter(([, [, , fits]]) => fits(job));
  nav.replaceChildren(...tabs.map(([name, [words]]) => {
    const tab = link(`#/jobs/${job.id}/${name}`, words);
    if (name === open) tab.setAttribute("aria-current", "page");
    return tab;
  }));
}
