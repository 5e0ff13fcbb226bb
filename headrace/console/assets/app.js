// The frame: who is signed in, which page is shown, and whether the server answers.

import { Api, ApiError } from "./api.js";
import { said, toast } from "./dialog.js";
import { make, part, setText, template } from "./dom.js";
import { startTicking } from "./parts.js";
import { deploymentsPage } from "./deployments_page.js";
import { jobPage } from "./job_page.js";
import { jobsPage } from "./jobs_page.js";
import { keysPage } from "./keys_page.js";
import { runPage } from "./run_page.js";
import { schedulesPage, serverPage } from "./server_page.js";

/**
 * What a page works with.
 * @typedef {Object} Stage
 * @property {Api} api
 * @property {import("./api.js").Me} me
 * @property {HTMLElement} root where it shows itself
 * @property {AbortSignal} signal says that it is left
 * @property {string[]} path what follows the page's name
 * @property {URLSearchParams} query
 * @property {import("./refresh.js").Weather} weather
 * @property {(title: string) => void} title
 *
 * @typedef {(stage: Stage) => void | ((path: string[], query: URLSearchParams) => boolean)} Page
 * It may give what is called when only the rest of its place has changed; true when it has dealt with that.
 */

const KEY_PLACE = "headrace.key";
/** @type {Record<string, Page>} */
const PAGES = { jobs: jobsPage, run: runPage, schedules: schedulesPage, deployments: deploymentsPage, keys: keysPage, server: serverPage };

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const trouble = /** @type {HTMLElement} */ (document.querySelector(".trouble"));
const places = /** @type {HTMLElement} */ (document.querySelector(".places"));
const who = /** @type {HTMLElement} */ (document.querySelector(".who"));
const wakes = new EventTarget();

/** @type {{api: Api, me: import("./api.js").Me} | null} */
let session = null;
let leaving = new AbortController();
let shown = "";
/** @type {ReturnType<Page>} */
let moved;

/** @type {import("./refresh.js").Weather} */
const weather = {
  wakes,
  trouble(error, pauseMs) {
    const again = pauseMs < 2000 ? "Trying again." : `Trying again every ${Math.round(pauseMs / 1000)} s.`;
    setText(part(trouble, "trouble"), `${error.reason} What you see may be old. ${again}`);
    trouble.hidden = false;
  },
  fine() {
    trouble.hidden = true;
  },
  refused(error) {
    if (error.status === 401) signOut("The key is no longer accepted: it was revoked, or the server has another database. Sign in with another one.");
    else showRefusal(error);
  },
};

/** Show what the hash names. */
function route() {
  if (!session) return;
  const [where, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const path = where.split("/").filter(Boolean).map(decoded);
  const query = new URLSearchParams(search);
  const name = path[0] === "jobs" && path[1] ? "job" : (path[0] ?? "jobs");
  const place = name === "job" ? `job/${path[1]}` : name;
  if (place === shown && moved?.(path.slice(1), query)) return;
  leaving.abort();
  leaving = new AbortController();
  shown = place;
  trouble.hidden = true;
  for (const each of places.querySelectorAll("a")) {
    const here = each.hash === `#/${path[0] ?? "jobs"}`;
    if (here) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  const page = name === "job" ? jobPage : PAGES[name];
  main.replaceChildren();
  window.scrollTo(0, 0);
  if (!page) {
    title("Not found");
    main.append(make("p", "empty", "There is no such page."));
    return;
  }
  moved = page({ ...session, root: main, signal: leaving.signal, path: path.slice(1), query, weather, title });
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} text */
function title(text) {
  document.title = text ? `${text} – Headrace` : "Headrace";
}

/** @param {ApiError} error */
function showRefusal(error) {
  const box = make("div", "empty");
  box.append(make("h1", "", error.reason), make("p", "", error.instruction));
  main.replaceChildren(box);
  shown = "";
}

/** @param {string} [why] */
function signOut(why = "") {
  sessionStorage.removeItem(KEY_PLACE);
  session = null;
  leaving.abort();
  shown = "";
  trouble.hidden = true;
  places.hidden = who.hidden = true;
  askForKey(why);
}

/** @param {string} why */
function askForKey(why) {
  title("Sign in");
  const page = template("sign-in");
  const field = /** @type {HTMLInputElement} */ (page.querySelector("input"));
  part(page, "why").textContent = why;
  part(page, "why").hidden = !why;
  /** @type {HTMLFormElement} */ (page.querySelector("form")).addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement} */ (page.querySelector("button"));
    button.disabled = true;
    const problem = await signIn(field.value.trim());
    button.disabled = false;
    part(page, "error").textContent = problem;
    part(page, "error").hidden = !problem;
    if (problem) field.select();
  });
  main.replaceChildren(page);
  field.focus();
}

/** Try a key; gives what is wrong with it, or nothing. @param {string} key */
async function signIn(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return "A key has no spaces and only plain letters, digits and signs.";
  const api = new Api(key);
  try {
    session = { api, me: await api.get("me") };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) return "This key is not known here. Check that it is whole, and of this server.";
    return `${error.reason} ${error.instruction}`.trim();
  }
  sessionStorage.setItem(KEY_PLACE, key);
  const { name, role, workspace } = session.me;
  part(who, "who").textContent = `${name} · ${role}${workspace ? ` of ${workspace}` : ""}`;
  places.hidden = who.hidden = false;
  route();
  return "";
}

/** Sign in with the key of this tab, waiting for a server that is away. @param {string} key */
async function resume(key) {
  const problem = await signIn(key);
  if (!problem || sessionStorage.getItem(KEY_PLACE) !== key) return;
  if (problem.startsWith("This key")) signOut(problem);
  else {
    weather.trouble(new ApiError(0, "", problem, ""), 3000);
    setTimeout(() => resume(key), 3000);
  }
}

part(who, "leave").addEventListener("click", () => signOut());
part(trouble, "again").addEventListener("click", () => wakes.dispatchEvent(new Event("again")));
/** @type {HTMLElement} */ (document.querySelector(".skip")).addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
// What a click asked for and was refused; what is asked for again and again tells of itself.
window.addEventListener("unhandledrejection", (event) => {
  const left = event.reason instanceof DOMException && event.reason.name === "AbortError";
  if (!left && !(event.reason instanceof ApiError)) return;
  event.preventDefault();
  if (!left) toast(said(event.reason));
});
startTicking();

const kept = sessionStorage.getItem(KEY_PLACE);
if (kept) resume(kept);
else askForKey("");
