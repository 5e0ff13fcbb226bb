// Call one function of a project in TypeScript or JavaScript and report what came of it; runner.py says how, and does it for Python.
//
// The function's file and what it imports of the project become one module, written into the call's own folder; packages stay outside of it
// and are found in the `node_modules` there. So the project's folder is not written to, and needs no build step.

import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { withPage } from "./browser.mjs";
import * as helpers from "./helpers.mjs";

const CALL = 4;
const MESSAGE_CHARACTERS = 4000;
const FOLDERS = { api: "api", create: "auth-sessions", check: "auth-sessions" };
const SUFFIXES = [".ts", ".mts", ".js", ".mjs"];
const OURS = /^(headrace-automation|@intuned\/(runtime|sdk)(\/.*)?)$/;

export class Refused extends Error {
  constructor(code, message, instruction = "", retryable = false) {
    super(message);
    Object.assign(this, { code, instruction, retryable });
  }
}

async function main() {
  const call = JSON.parse(fs.readFileSync(CALL, "utf8"));
  helpers.begin(call);
  try {
    const result = encoded(await run(call), call.result_limit_bytes);
    helpers.say("done", { attributes: helpers.attributes, result });
  } catch (error) {
    helpers.say("failed", failureOf(error));
  }
  process.exit(0); // timers and sockets that the function left must not hold up a call that has ended
}

async function run(call) {
  const source = fileOf(call);
  const handler = await load(call, source);
  if (typeof handler !== "function") {
    throw new Refused("not-found", `${path.relative(call.project, source)} has no default export that is a function.`, "Write `export default async function`.");
  }
  const wanted = call.options?.browser ?? "auto";
  const first = call.kind === "check" ? 1 : 2; // the place of the page among the arguments
  if (wanted !== true && (wanted === false || handler.length < first) && call.kind === "api") return await handler(call.parameters);
  return await withPage(call, path.join(process.cwd(), "call.mjs"), Refused, handler);
}

function fileOf(call) {
  const name = call.kind === "api" ? call.name.replace(/^api\//, "") : call.kind;
  const parts = name.split("/");
  if (parts.every((part) => part && !part.startsWith(".") && !/[\\\0]/.test(part))) {
    const base = path.join(call.project, FOLDERS[call.kind], ...parts);
    const found = SUFFIXES.map((suffix) => base + suffix).find((file) => fs.existsSync(file));
    if (found) return found;
  }
  throw new Refused("not-found", `The project has no ${FOLDERS[call.kind]}/${name}.ts.`, "Check the name: the path below api/, without extension.");
}

async function load(call, source) {
  const esbuild = createRequire(import.meta.url)(process.env.HEADRACE_ESBUILD);
  const ours = {
    name: "ours",
    setup: (build) => build.onResolve({ filter: OURS }, () => ({ path: new URL("./helpers.mjs", import.meta.url).href, external: true })),
  };
  const built = path.join(process.cwd(), "call.mjs");
  try {
    await esbuild.build({
      entryPoints: [source],
      outfile: built,
      bundle: true,
      packages: "external",
      platform: "node",
      format: "esm",
      sourcemap: "inline",
      logLevel: "silent",
      plugins: [ours],
    });
  } catch (error) {
    const [first] = error.errors ?? [];
    const where = first?.location ? `${path.relative(call.project, path.resolve(first.location.file))}:${first.location.line}: ` : "";
    throw Object.assign(new SyntaxError(first ? `${where}${first.text}` : String(error)), { hopeless: true });
  } finally {
    esbuild.stop?.();
  }
  try {
    return (await import(pathToFileURL(built).href)).default;
  } catch (error) {
    throw error?.code === "ERR_MODULE_NOT_FOUND" ? Object.assign(error, { hopeless: true }) : error;
  } finally {
    fs.rmSync(built, { force: true });
  }
}

function encoded(value, limit) {
  let text;
  try {
    text = JSON.stringify(value ?? null);
  } catch (error) {
    throw new Refused("no-output", `The result is not JSON serializable: ${error.message}.`, "Return plain values.");
  }
  if (text === undefined) throw new Refused("no-output", `The result is not JSON serializable: a ${typeof value}.`, "Return plain values.");
  const size = Buffer.byteLength(text);
  if (size > limit) {
    throw new Refused("result-too-large", `The result has ${size} bytes of JSON; ${limit} are allowed.`, "Return less, or split the work with extendPayload.");
  }
  return JSON.parse(text);
}

function failureOf(error) {
  if (error instanceof Refused) {
    console.error(`${error.message} ${error.instruction}`.trim());
    return { code: error.code, name: "", message: error.message, instruction: error.instruction, retryable: error.retryable };
  }
  console.error(error?.stack ?? error);
  const name = error?.name ?? typeof error;
  const message = `${name}: ${error?.message ?? error}`.slice(0, MESSAGE_CHARACTERS);
  return { code: "exception", name, message, instruction: "", retryable: !(error instanceof helpers.NonRetryableError || error?.hopeless) };
}

for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => {
    helpers.say("failed", failureOf(error));
    process.exit(0);
  });
}

await main();
