// What can be run: flows for a tenant, pipelines, batches, which can also be held.

import { inPath, repeatKey } from "./api.js";
import { ask, labelled, said, toast } from "./dialog.js";
import { fill, make, part, template } from "./dom.js";
import { keepFresh } from "./refresh.js";

const LOOK_MS = 15_000;

/**
 * @typedef {Object} Runnable
 * @property {string} name
 * @property {string} where
 * @property {string} about
 * @property {string} held
 * @property {string} path its runs, in the API
 * @property {boolean | null} paused null where it cannot be
 * @property {string[] | null} tenants null where there is nothing to choose
 */

/** @type {import("./app.js").Page} */
export function runPage(stage) {
  const { api, root, signal, weather } = stage;
  const page = template("run");
  const search = /** @type {HTMLInputElement} */ (part(page, "search"));
  /** @type {[string, Runnable[]][]} */
  let groups = [];
  let shown = "";
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const fits = (/** @type {Runnable} */ one) => `${one.name} ${one.where} ${one.about}`.toLowerCase().includes(wanted);
    const found = groups.map(([words, all]) => /** @type {[string, Runnable[]]} */ ([words, all.filter(fits)])).filter(([, all]) => all.length);
    const at = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".runnables li"))?.dataset.path;
    fill(part(page, "groups"), ...found.flatMap(([words, all]) => [make("h2", "", words), listOf(stage, all)]));
    if (at) /** @type {HTMLElement | null} */ (page.querySelector(`[data-path="${CSS.escape(at)}"] button:not([hidden], :disabled)`))?.focus();
    part(page, "empty").hidden = found.length > 0;
    fill(part(page, "empty"), make("p", "", wanted ? "Nothing fits." : "Nothing is defined yet."), make("p", "", wanted ? "" : "headrace init DIR writes a project with one of each."));
  };
  stage.title("Run");
  search.addEventListener("input", show);
  /** @type {HTMLFormElement} */ (page.querySelector("form")).addEventListener("submit", (event) => event.preventDefault());
  root.replaceChildren(page);
  keepFresh(async () => {
    const [{ flows }, { pipelines }, { batches }] = await Promise.all([api.get("flows", {}, signal), api.get("pipelines", {}, signal), api.get("batches", {}, signal)]);
    const told = JSON.stringify([flows, pipelines, batches]);
    if (told !== shown) {
      shown = told;
      groups = [["Flows", flows.map(flowOf)], ["Pipelines", pipelines.map(pipelineOf)], ["Batches", batches.map(batchOf)]];
      show();
    }
    return LOOK_MS;
  }, signal, weather);
}

/** @param {any} flow @returns {Runnable} */
const flowOf = (flow) => ({
  name: flow.id,
  where: `in ${flow.workspace}`,
  about: flow.description || [flow.sources.join(", "), flow.script ? "script" : "", flow.targets.join(", ")].filter(Boolean).join(" → "),
  held: "",
  paused: null,
  path: `flows/${inPath(flow.workspace)}/${inPath(flow.id)}/runs`,
  tenants: flow.tenants,
});

/** @param {any} one @returns {Runnable} */
const pipelineOf = (one) => ({
  name: one.name, where: `in ${one.workspace}`, about: one.description, held: one.held, paused: one.paused, tenants: null,
  path: `pipelines/${inPath(one.workspace)}/${inPath(one.id)}/runs`,
});

/** @param {any} one @returns {Runnable} */
const batchOf = (one) => ({
  name: one.name, where: `of project ${one.project} in ${one.workspace}`, about: one.description, held: one.held, paused: one.paused, tenants: null,
  path: `batches/${inPath(one.workspace)}/${inPath(one.project)}/${inPath(one.name)}/runs`,
});

/** @param {import("./app.js").Stage} stage @param {Runnable[]} all */
function listOf(stage, all) {
  const list = make("ul", "runnables");
  for (const one of all) {
    const row = template("runnable");
    row.dataset.path = one.path;
    part(row, "name").textContent = one.name;
    part(row, "where").textContent = one.where;
    part(row, "about").textContent = one.held || one.about;
    const button = /** @type {HTMLButtonElement} */ (part(row, "run"));
    button.setAttribute("aria-label", `Run ${one.name}`);
    button.hidden = !stage.me.scopes.includes("run");
    button.disabled = Boolean(one.held);
    button.addEventListener("click", () => askRun(stage, one));
    bindPause(stage, row, one);
    list.append(row);
  }
  return list;
}

/** @param {import("./app.js").Stage} stage @param {HTMLElement} row @param {Runnable} one */
function bindPause(stage, row, one) {
  const [pause, resume] = [part(row, "pause"), part(row, "resume")];
  const may = stage.me.scopes.includes("run") && one.paused !== null;
  pause.hidden = !may || Boolean(one.paused);
  resume.hidden = !may || !one.paused;
  pause.setAttribute("aria-label", `Pause ${one.name}`);
  resume.setAttribute("aria-label", `Resume ${one.name}`);
  const path = one.path.replace(/runs$/, "");
  const again = () => stage.weather.wakes.dispatchEvent(new Event("again"));
  pause.addEventListener("click", () => {
    const text = "Neither its schedule nor anybody starts it until it is resumed. If a job of it runs, the items that run go on to their end and no more are started. Nothing is lost.";
    ask({ title: `Pause ${one.name}?`, text, yes: "Pause the batch" }, async () => {
      await stage.api.post(`${path}pause`);
      toast(`${one.name} is paused.`);
      again();
    });
  });
  resume.addEventListener("click", async () => {
    try {
      await stage.api.post(`${path}resume`);
      toast(`${one.name} goes on.`);
      again();
    } catch (failure) {
      toast(said(failure));
    }
  });
}

/** @param {import("./app.js").Stage} stage @param {Runnable} one */
function askRun({ api }, one) {
  const key = repeatKey();
  const field = /** @type {HTMLInputElement} */ (make("input"));
  const known = make("datalist");
  known.id = "tenants";
  for (const tenant of one.tenants ?? []) known.append(new Option(tenant, tenant));
  field.setAttribute("list", known.id);
  field.required = one.tenants !== null;
  field.maxLength = 255;
  field.value = one.tenants?.length === 1 ? one.tenants[0] : "";
  const fields = one.tenants === null ? [] : [labelled("Tenant", field), known];
  ask({ title: `Run ${one.name}?`, text: one.about, yes: "Run", fields }, async () => {
    const made = await api.post(one.path, one.tenants === null ? undefined : { tenant: field.value.trim() }, key);
    location.hash = `#/jobs/${made.id}`;
  });
}
