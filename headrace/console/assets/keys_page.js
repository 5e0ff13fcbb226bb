// API keys: who holds which, making one, taking one back.

import { inPath } from "./api.js";
import { ask, choice, labelled, toast } from "./dialog.js";
import { keepRows, make, part, setText, template } from "./dom.js";
import { counted } from "./format.js";
import { showState, showTime, time } from "./parts.js";
import { keepFresh } from "./refresh.js";

/**
 * @typedef {Object} Key
 * @property {string} id
 * @property {string} name
 * @property {string} role
 * @property {string | null} workspace
 * @property {string} hint
 * @property {string} created_at
 * @property {string | null} revoked_at
 */

const LOOK_MS = 5000;

/** @type {[string, string][]} roles, and what their keys may do */
const ROLES = [
  ["environment", "environment – everything but keys"],
  ["viewer", "viewer – sees jobs and logs, changes nothing"],
  ["admin", "admin – everything, keys too"],
  ["developer", "developer – the same, for a person"],
  ["public", "public – hotglue's widget in a browser"],
];

/** @type {import("./app.js").Page} */
export function keysPage(stage) {
  const { api, me, root, signal, weather } = stage;
  stage.title("Keys");
  if (!me.scopes.includes("keys")) {
    root.append(make("h1", "", "Keys"), make("p", "empty", "Only keys of role admin see these."));
    return;
  }
  const page = template("keys");
  const revoked = /** @type {HTMLInputElement} */ (part(page, "revoked"));
  /** @type {Key[]} */
  let keys = [];
  const again = () => weather.wakes.dispatchEvent(new Event("again"));
  const show = () => {
    const gone = keys.filter((key) => key.revoked_at);
    part(page, "revoked-label").hidden = gone.length === 0;
    setText(part(page, "revoked-words"), `Show ${counted(gone.length, "revoked key")}`);
    const shown = revoked.checked ? keys : keys.filter((key) => !key.revoked_at);
    keepRows(part(page, "rows"), shown.sort(goodFirst), (key) => key.id, () => template("key-row"), (row, key) => fillRow(row, key, stage, again));
  };
  revoked.addEventListener("change", show);
  part(page, "add").addEventListener("click", () => askAdd(stage, again));
  root.replaceChildren(page);
  keepFresh(async () => {
    keys = (await api.get("keys", {}, signal)).keys;
    show();
    return LOOK_MS;
  }, signal, weather);
}

/** Those that open something first, the newest of them before others. @param {Key} one @param {Key} other */
const goodFirst = (one, other) => Number(Boolean(one.revoked_at)) - Number(Boolean(other.revoked_at)) || other.created_at.localeCompare(one.created_at);

/** @param {HTMLElement} row @param {Key} key @param {import("./app.js").Stage} stage @param {() => void} again */
function fillRow(row, key, stage, again) {
  setText(part(row, "name"), key.name);
  setText(part(row, "own"), key.id === stage.me.key_id ? "this one" : "");
  setText(part(row, "role"), key.role);
  setText(part(row, "opens"), key.workspace ?? "every workspace");
  setText(part(row, "hint"), key.hint && `${key.hint}…`);
  showTime(part(row, "made"), key.created_at);
  const button = /** @type {HTMLButtonElement} */ (part(row, "revoke"));
  if (!row.dataset.bound) {
    row.dataset.bound = "yes";
    button.setAttribute("aria-label", `Revoke ${key.name}`);
    button.addEventListener("click", () => askRevoke(stage, key, again));
  }
  button.hidden = key.revoked_at !== null;
  part(row, "gone").hidden = key.revoked_at === null;
  if (key.revoked_at && !part(row, "gone").firstChild) {
    const said = make("span");
    showState(said, "cancelled", "Revoked ");
    part(row, "gone").append(said, time(key.revoked_at));
  }
}

/** @param {import("./app.js").Stage} stage @param {Key} key @param {() => void} again */
function askRevoke({ api, me, root }, key, again) {
  const own = key.id === me.key_id ? " You are signed in with this one, and will have to sign in with another." : "";
  const text = `Whoever uses it is refused within seconds, and it cannot be given back. Jobs that it has started go on.${own}`;
  ask({ title: `Revoke ${key.name}?`, text, yes: "Revoke the key", grave: true }, async () => {
    await api.delete(`keys/${inPath(key.id)}`);
    toast(`${key.name} is revoked.`);
    again();
    return () => root.focus(); // the button goes with its row
  });
}

/** @param {import("./app.js").Stage} stage @param {() => void} again */
async function askAdd({ api, me, signal }, again) {
  const { workspaces } = await api.get("workspaces", {}, signal);
  const name = /** @type {HTMLInputElement} */ (make("input"));
  name.required = true;
  name.maxLength = 255;
  name.autocomplete = "off";
  const role = choice(ROLES);
  /** @type {[string, string][]} */
  const places = workspaces.map((/** @type {{name: string}} */ one) => [one.name, one.name]);
  const place = choice(me.workspace ? places : [...places, ["", "every workspace"]]);
  const fields = [labelled("Name, to tell it from others", name), labelled("Role", role), labelled("Opens", place)];
  ask({ title: "Make a key", text: "", yes: "Make the key", fields }, async () => {
    const made = await api.post("keys", { name: name.value.trim(), role: role.value, workspace: place.value || null });
    again();
    return () => showOnce(made);
  });
}

/** @param {{key: string, name: string}} made */
function showOnce(made) {
  const field = /** @type {HTMLInputElement} */ (make("input", "secret"));
  field.value = made.key;
  field.readOnly = true;
  field.addEventListener("focus", () => field.select());
  const copy = /** @type {HTMLButtonElement} */ (make("button", "", "Copy"));
  copy.type = "button";
  copy.addEventListener("click", async () => {
    field.select();
    // Only pages of https and of this very machine may write to the clipboard.
    const done = await (navigator.clipboard?.writeText(made.key).then(() => true, () => false) ?? false);
    copy.textContent = done ? "Copied" : "Selected: press Ctrl+C";
  });
  const text = "It cannot be shown again. Keep it where secrets are kept.";
  ask({ title: `The key ${made.name}`, text, yes: "I have kept it", fields: [labelled("Key", field), copy], only: true }, async () => {});
}
