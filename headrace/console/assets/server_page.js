// Schedules; and how the server itself is: mistakes in the project, workers, the key that asks.

import { fill, link, listing, make, part, template } from "./dom.js";
import { kindOf } from "./format.js";
import { showState, time } from "./parts.js";
import { keepFresh } from "./refresh.js";

const LOOK_MS = 5000;

/** @type {import("./app.js").Page} */
export function schedulesPage({ api, root, signal, weather, title }) {
  const page = template("schedules");
  title("Schedules");
  root.replaceChildren(page);
  keepFresh(async () => {
    const [{ schedules }, { pipelines }] = await Promise.all([api.get("schedules", {}, signal), api.get("pipelines", {}, signal)]);
    const names = new Map(pipelines.map((/** @type {any} */ one) => [one.id, one.name]));
    const rows = schedules.map((/** @type {any} */ one) => {
      const name = names.get(one.definition) ?? one.definition;
      const what = make("span");
      what.append(link(`#/jobs?${jobsOf(one, name)}`, one.connector ? `${name}, ${one.connector}` : name), " ", make("span", "kind", `${kindOf(one.dialect)} in ${one.workspace}`));
      const next = make("span");
      if (one.next_at) next.append(time(one.next_at), ", ", time(one.next_at, "day"));
      else next.append(one.enabled ? "never" : "switched off");
      return [what, one.tenant === "default" ? "" : one.tenant, make("code", "", one.expression), next];
    });
    fill(part(page, "list"), listing(["What", "Tenant", "When", "Next"], rows, "Nothing is scheduled."));
    return LOOK_MS;
  }, signal, weather);
}

/** Filters that show the jobs of a schedule. @param {any} schedule @param {string} name */
function jobsOf(schedule, name) {
  /** @type {Record<string, string>} */
  const exact = schedule.dialect === "hotglue" ? { flow: schedule.definition, tenant: schedule.tenant } : { text: name };
  return new URLSearchParams({ dialect: schedule.dialect, workspace: schedule.workspace, ...exact });
}

/** @type {import("./app.js").Page} */
export function serverPage(stage) {
  const { api, me, root, signal, weather } = stage;
  const page = template("server");
  stage.title("Server");
  showKey(part(page, "key"), me);
  root.replaceChildren(page);
  keepFresh(async () => {
    await showReady(part(page, "ready"), signal);
    if (!me.scopes.includes("define")) {
      fill(part(page, "problems"), make("li", "note", "Only keys with the right define see these."));
      return LOOK_MS;
    }
    const [{ problems }, { nodes }] = await Promise.all([api.get("problems", {}, signal), api.get("nodes", {}, signal)]);
    fill(part(page, "problems"), ...(problems.length ? problems.map(problemRow) : [make("li", "note", "None: every file is in force.")]));
    fill(part(page, "nodes"), listing(["Process", "State", "#Slots", "Started", "Last heard of"], nodes.sort(aliveFirst).map(nodeRow), "No worker has said that it is alive: jobs wait. Start one with headrace worker."));
    return LOOK_MS;
  }, signal, weather);
}

/** @param {any} problem */
function problemRow(problem) {
  const row = make("li");
  const place = problem.file ? `${problem.file}${problem.line ? `, line ${problem.line}` : ""}` : "";
  if (place) row.append(make("code", "", place));
  row.append(make("p", "", problem.reason), make("p", "", problem.instruction));
  return row;
}

/** @param {any} one @param {any} other */
const aliveFirst = (one, other) => Number(other.alive) - Number(one.alive);

/** @param {any} node @returns {(string | Node)[]} */
function nodeRow(node) {
  const state = make("span");
  if (!node.alive) showState(state, "cancelled", "Gone");
  else if (node.draining) showState(state, "waiting", "Ending, takes no more jobs");
  else showState(state, "completed", "Alive");
  return [`${node.name} (${node.roles.join(", ")})`, state, String(node.slots), time(node.started_at), time(node.seen_at)];
}

/** `/readyz` stands at the root and asks for no key. @param {HTMLElement} box @param {AbortSignal} signal */
async function showReady(box, signal) {
  const reply = await fetch(new URL("readyz", document.baseURI), { signal, cache: "no-store" }).catch(() => null);
  const told = reply ? await reply.json().catch(() => ({ reasons: [] })) : null;
  if (!told) return;
  if (reply?.ok) showState(box, "completed", "Ready");
  else showState(box, "failed", `Not ready: ${told.reasons.join(" ")}`);
}

/** @param {HTMLElement} box @param {import("./api.js").Me} me */
function showKey(box, me) {
  const facts = [["Name", me.name], ["Role", me.role], ["Opens", me.workspace ?? "every workspace"], ["Rights", me.scopes.join(", ")]];
  for (const [name, value] of facts) box.append(make("dt", "", name), make("dd", "", value));
}
