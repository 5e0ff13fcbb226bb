// What was deployed: which version of each flow and connector is in force, and putting another one in force.

import { inPath } from "./api.js";
import { ask, toast } from "./dialog.js";
import { fill, keepRows, link, listing, make, part, setText, template } from "./dom.js";
import { byteCount, counted } from "./format.js";
import { showState, showTime } from "./parts.js";
import { keepFresh } from "./refresh.js";

const LOOK_MS = 5000;
/** @type {Record<string, string>} */
const KINDS = { flow: "Flow", connector: "Connector" };

/**
 * @typedef {Object} Version
 * @property {number} number
 * @property {string} message
 * @property {string} deployed_by
 * @property {string} deployed_at
 * @property {number} file_count
 * @property {number} size_bytes
 * @property {boolean} current
 */

/** @type {import("./app.js").Page} */
export function deploymentsPage(stage) {
  const [kind, workspace, name] = stage.path;
  if (KINDS[kind] && workspace && name) showVersions(stage, kind, workspace, name);
  else showAll(stage);
}

/** @param {import("./app.js").Stage} stage */
function showAll({ api, root, signal, weather, title }) {
  const page = template("deployments");
  title("Deployments");
  root.replaceChildren(page);
  keepFresh(async () => {
    const [{ flows }, { connectors }] = await Promise.all([api.get("flows", {}, signal), api.get("connectors", {}, signal)]);
    const all = [...flows.map((/** @type {any} */ one) => ({ ...one, kind: "flow", name: one.id })), ...connectors.map((/** @type {any} */ one) => ({ ...one, kind: "connector" }))];
    const deployed = all.filter((one) => one.owner === "deployments");
    if (page.contains(document.activeElement)) return LOOK_MS;
    const rows = deployed.map((one) => {
      const what = make("span");
      what.append(link(placeOf(one.kind, one.workspace, one.name), one.name), " ", make("span", "kind", `${KINDS[one.kind]} in ${one.workspace}`));
      return [what, `version ${one.version}`];
    });
    fill(part(page, "list"), listing(["What", "In force"], rows, "Nothing is deployed."));
    setText(part(page, "rest"), restWords(all.filter((one) => one.owner !== "deployments")));
    return LOOK_MS;
  }, signal, weather);
}

/** @param {string} kind @param {string} workspace @param {string} name */
const placeOf = (kind, workspace, name) => `#/deployments/${kind}/${inPath(workspace)}/${inPath(name)}`;

/** @param {{kind: string}[]} others what the project folder defines */
function restWords(others) {
  const flows = others.filter((one) => one.kind === "flow").length;
  const connectors = others.length - flows;
  const words = [flows && counted(flows, "flow"), connectors && counted(connectors, "connector")].filter(Boolean).join(" and ");
  return words && `The project folder defines ${words} besides: change ${others.length === 1 ? "it" : "these"} there.`;
}

/** @param {import("./app.js").Stage} stage @param {string} kind @param {string} workspace @param {string} name */
function showVersions(stage, kind, workspace, name) {
  const { api, me, root, signal, weather } = stage;
  const page = template("versions");
  const path = `${kind}s/${inPath(workspace)}/${inPath(name)}`;
  stage.title(`Versions of ${name}`);
  part(page, "title").textContent = name;
  part(page, "where").textContent = `${KINDS[kind]} in ${workspace}`;
  root.replaceChildren(page);
  keepFresh(async () => {
    const versions = /** @type {Version[]} */ ((await api.get(`${path}/versions`, {}, signal)).versions);
    const roll = (/** @type {Version} */ version) => askRollback(stage, path, name, version);
    keepRows(part(page, "rows"), versions, (one) => String(one.number), () => template("version-row"), (row, one) => fillVersion(row, one, me.scopes.includes("define"), roll));
    part(page, "empty").hidden = versions.length > 0;
    return LOOK_MS;
  }, signal, weather);
}

/** @param {HTMLElement} row @param {Version} version @param {boolean} mayDefine @param {(version: Version) => void} roll */
function fillVersion(row, version, mayDefine, roll) {
  setText(part(row, "number"), version.number);
  setText(part(row, "message"), version.message);
  setText(part(row, "by"), version.deployed_by);
  showTime(part(row, "at"), version.deployed_at);
  setText(part(row, "size"), `${counted(version.file_count, "file")}, ${byteCount(version.size_bytes)}`);
  const state = part(row, "state");
  state.hidden = !version.current;
  showState(state, "completed", "In force");
  const button = /** @type {HTMLButtonElement} */ (part(row, "roll"));
  button.hidden = version.current || !mayDefine;
  if (row.dataset.bound) return;
  row.dataset.bound = "yes";
  button.setAttribute("aria-label", `Put version ${version.number} in force`);
  button.addEventListener("click", () => roll(version));
}

/** @param {import("./app.js").Stage} stage @param {string} path @param {string} name @param {Version} version */
function askRollback({ api, root, weather }, path, name, version) {
  const text = "From the next job on. Jobs that wait or run keep what they were submitted with; every version stays and can be put in force again.";
  ask({ title: `Put version ${version.number} of ${name} in force?`, text, yes: "Put it in force" }, async () => {
    await api.post(`${path}/rollback`, { version: version.number });
    toast(`Version ${version.number} of ${name} is in force.`);
    weather.wakes.dispatchEvent(new Event("again"));
    return () => root.focus(); // the button goes
  });
}
