// Calls every function that hotglue's widget exports, one after the other, and prints what each gave.
//
// Arguments: a folder whose node_modules hold the widget, React and happy-dom; and JSON with `config`, `tenant`, `flow`, `other` (a flow of
// version 2), `tap`, `target`, `connector`. The widget is a React component: its functions come out of a hook, so it is mounted in a document
// that has no browser. Prints {results: {name: value}, requests: [[method, path, status]], heard: [listener's events]}.
"use strict";

const { createRequire } = require("module");
const [folder, given] = process.argv.slice(2);
const from = createRequire(`${folder}/node_modules/`);
const { config, tenant, flow, other, tap, target, connector } = JSON.parse(given);

const { Window } = from("happy-dom");
const page = new Window({ url: "http://127.0.0.1/" });
globalThis.window = globalThis.self = page;
for (const name of Object.getOwnPropertyNames(page)) {
  if (!(name in globalThis)) globalThis[name] = page[name];
}
globalThis.document = page.document;
Object.defineProperty(globalThis, "navigator", { value: page.navigator, configurable: true });
globalThis.requestAnimationFrame = (step) => setTimeout(step, 0);
globalThis.cancelAnimationFrame = clearTimeout;

const EVENTS = ["onSourceUnlinked", "onTargetUnlinked", "onConnectorUnlinked", "onStartJob", "onWidgetOpen", "onWidgetClose"];
const requests = [];
const answered = new Map();
const ask = globalThis.fetch;
globalThis.fetch = page.fetch = async (url, options) => {
  const reply = await ask(url, options);
  const path = String(url).slice(config.apiUrl.length);
  requests.push([options.method, path, reply.status]);
  for (const [wanted, tell] of answered) if (`${options.method} ${path}`.includes(wanted)) tell();
  return reply;
};
const seen = (wanted) => new Promise((tell) => answered.set(wanted, tell));

// Without this Node prints the line of the bundle in which it happened, which is two megabytes long.
process.on("uncaughtException", fail);

const React = from("react");
const ReactDOM = from("react-dom");
const widget = from("@hotglue/widget");

function handlers() {
  let found;
  const Capture = () => ((found = widget.useHotglue()), null);
  const root = page.document.body.appendChild(page.document.createElement("div"));
  ReactDOM.render(React.createElement(widget.default, { config }, React.createElement(Capture)), root);
  return found;
}

async function main() {
  const heard = [];
  const results = {};
  const started = seen("GET " + `/${config.envId}/flows/supported`);
  const functions = handlers();
  await started;
  const names = Object.keys(functions);
  const call = async (name, ...values) => (results[name] = (await functions[name](...values)) ?? null);

  const listener = {};
  for (const event of EVENTS) listener[event] = () => heard.push(event);
  await call("setOptions", { listener, breadcrumbs: true });
  await call("setListener", listener);
  await call("setSchema", [{ flowId: flow, schema: [] }]);

  const opening = seen(`/${config.envId}/flows/linked?user_id=${tenant}`);
  await call("openWidget", tenant, { listener });
  await opening;
  const saved = seen(`PUT /tenant/${config.envId}/${tenant}/metadata`);
  await call("setMetadata", { plan: "gold" });
  await saved;

  for (const name of ["getAvailableSources", "getAvailableTargets", "getAvailableConnectors"]) await call(name);
  await call("getLinkedFlows", tenant);
  await call("getLinkedSources", flow, tenant);
  await call("getLinkedTargets", flow, tenant);
  await call("getLinkedConnectors", other, tenant);

  const job = await call("createJob", flow, tenant);
  const polled = seen(`GET /${config.envId}/${flow}/${tenant}/jobs/status`);
  functions.pollJob(job.s3_root, flow, tenant);
  await polled;
  results.pollJob = true;
  const status = `${config.apiUrl}/${config.envId}/${flow}/${tenant}/jobs/status?job_root=${encodeURIComponent(job.s3_root)}`;
  do {
    await new Promise((step) => setTimeout(step, 100));
    results.ended = (await (await ask(status, { headers: { "x-api-key": config.apiKey } })).json()).status;
  } while (!/FAILED|COMPLETE/.test(results.ended));

  const looked = seen(`GET /${config.envId}/${flow}/${tenant}/linkedSources?config=true&login_state=true&tap_name=${tap}`);
  functions.link(tenant, flow, tap, false, { listener });
  await looked;
  results.link = true;

  await call("reconnect", tenant, flow, tap, { listener });
  await call("disconnect", tenant, flow, tap, { listener });
  results.afterwards = await functions.getLinkedSources(flow, tenant);
  await call("disconnect", tenant, flow, target, { listener, isTarget: true });
  await call("disconnect", tenant, other, connector, { listener, isConnector: true });
  await call("close");
  process.stdout.write(JSON.stringify({ names, results, requests, heard }), () => process.exit(0));
}

function fail(error) {
  console.error(String(error && error.stack), JSON.stringify(requests));
  process.exit(1);
}

main().catch(fail);
