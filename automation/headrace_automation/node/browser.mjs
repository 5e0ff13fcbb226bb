// A browser for the length of one call: Chromium, driven by the Playwright of the project's own packages; browser.py does it for Python.

import { createRequire } from "node:module";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--disable-gpu", "--disable-sync", "--no-first-run"];
const PROGRAMS = ["chromium", "chromium-browser", "google-chrome"];
const WINDOWLESS = "chromium-headless-shell";
const LAUNCHER = new URL("../chromium.sh", import.meta.url);
const SIZE = { width: 1024, height: 800 };

export async function withPage(call, from, Refused, handler) {
  const browser = await launch(call, from, Refused);
  try {
    const state = call.session && { cookies: call.session.cookies ?? [], origins: call.session.origins ?? [] };
    const context = await browser.newContext({ viewport: { ...SIZE, ...call.options?.browser_size }, ...(state && { storageState: state }) });
    await context.addInitScript(restore, call.session?.sessionStorage ?? []);
    if (call.options?.save_trace) await context.tracing.start({ screenshots: true, snapshots: true });
    const page = await context.newPage();
    try {
      if (call.kind === "check") return Boolean(await handler(page, context));
      const result = await handler(call.parameters, page, context);
      return call.kind === "create" ? await stateOf(context) : result;
    } finally {
      if (call.options?.save_trace) await context.tracing.stop({ path: path.join(call.output, "trace.zip") }).catch(() => {});
    }
  } finally {
    await browser.close().catch(() => {});
  }
}

async function launch(call, from, Refused) {
  const playwright = find(from);
  if (!playwright) {
    throw new Refused("invalid", `${call.name} takes a page, but the project's packages have no Playwright.`, "Add `playwright` to its package.json, or set `browser` to false in its settings.");
  }
  try {
    return await playwright.chromium.launch({
      executablePath: program(call.options?.headful),
      headless: !call.options?.headful,
      args: [...FLAGS, ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
      proxy: proxyOf(call.proxy),
      handleSIGTERM: false,
    });
  } catch (error) {
    console.error(error.message);
    throw new Refused("invalid", `The browser did not start: ${error.message.trim().split("\n")[0]}`, "Install Chromium on the server's machine, or run `npx playwright install chromium` as the server's user.", true);
  }
}

function find(from) {
  for (const name of ["playwright", "playwright-core", "@playwright/test"]) {
    try {
      return createRequire(from)(name);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  return null;
}

function program(headful) {
  const folders = (process.env.PATH ?? "").split(path.delimiter).filter(Boolean);
  const which = (names) => names.flatMap((name) => folders.map((folder) => path.join(folder, name))).find((file) => fs.existsSync(file));
  const found = which(PROGRAMS);
  if (headful) return found;
  return which([WINDOWLESS]) ?? (found && launcherOf(found));
}

function launcherOf(found) {
  const launcher = path.join(os.tmpdir(), "headrace-chromium");
  const quoted = `'${found.replaceAll("'", `'\\''`)}'`;
  fs.writeFileSync(launcher, fs.readFileSync(LAUNCHER, "utf8").replace("@PROGRAM@", () => quoted), { mode: 0o700 });
  try {
    fs.accessSync(launcher, fs.constants.X_OK);
    return launcher;
  } catch {
    return found; // a folder may be mounted so that nothing is run from it
  }
}

function proxyOf(url) {
  if (!url) return undefined;
  const parts = new URL(url);
  const named = { username: decodeURIComponent(parts.username), password: decodeURIComponent(parts.password) };
  return { server: `${parts.protocol}//${parts.host}`, ...Object.fromEntries(Object.entries(named).filter(([, value]) => value)) };
}

async function stateOf(context) {
  const take = () => ({ origin: location.origin, sessionStorage: Object.entries(sessionStorage).map(([name, value]) => ({ name, value })) });
  const stored = await Promise.all(context.pages().filter((page) => page.url().startsWith("http")).map((page) => page.evaluate(take)));
  const held = stored.filter((each) => each.sessionStorage.length);
  return { ...(await context.storageState()), sessionStorage: held.length ? held : null };
}

// Runs in the page, before its own scripts.
function restore(stored) {
  const own = stored.find((each) => each.origin === location.origin);
  for (const { name, value } of own?.sessionStorage ?? []) {
    if (sessionStorage.getItem(name) === null) sessionStorage.setItem(name, value);
  }
}
