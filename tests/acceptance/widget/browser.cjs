// Shows hotglue's widget in Chromium, on a page as a customer would write it, and links a source through its form.
//
// Arguments: a folder whose node_modules hold the widget, React and playwright-core; JSON with `config`, `tenant`, `tap`, `values` (what is
// typed into the form, by label); a folder for screenshots. Prints {offered, form, linked, asked, errors} as JSON.
"use strict";

const { createRequire } = require("module");
const { createServer } = require("http");
const { readFileSync } = require("fs");
const { join } = require("path");
const [folder, given, shots] = process.argv.slice(2);
const { chromium } = createRequire(`${folder}/node_modules/`)("playwright-core");
const { config, tenant, tap, values } = JSON.parse(given);

const site = createServer((request, reply) => {
  const asked = request.url === "/" ? join(__dirname, "page.html") : join(folder, request.url);
  const known = request.url === "/" || request.url.startsWith("/node_modules/");
  reply.statusCode = known ? 200 : 204;
  reply.end(known ? readFileSync(asked) : "");
});

async function main() {
  await new Promise((ready) => site.listen(0, "127.0.0.1", ready));
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
  page.setDefaultTimeout(45000);
  const asked = [];
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("response", (reply) => {
    if (reply.url().startsWith(config.apiUrl)) asked.push([reply.request().method(), reply.url().slice(config.apiUrl.length), reply.status()]);
  });
  // Fonts and logos of others: nothing but this machine is asked.
  await page.route(/^https?:\/\/(?!127\.0\.0\.1[:/])/, (route) => route.abort());
  const shot = (name) => page.screenshot({ path: join(shots, `${name}.png`) });

  await page.goto(`http://127.0.0.1:${site.address().port}/#${encodeURIComponent(JSON.stringify({ config, tenant }))}`);
  const card = page.locator(".hg-connector-card", { hasText: tap });
  await card.waitFor();
  const offered = await page.locator("#here").innerText();
  await shot("offered");

  await card.getByRole("button").click();
  const connect = page.getByRole("button", { name: "Connect your data" });
  await connect.waitFor();
  const form = await page.getByRole("dialog").innerText();
  for (const [label, value] of Object.entries(values)) await page.getByRole("dialog").getByLabel(label).fill(value);
  await shot("form");
  await connect.click();

  await card.locator(".hg-connector-linked").waitFor();
  const linked = await card.innerText();
  await shot("linked");
  await browser.close();
  site.close();
  process.stdout.write(JSON.stringify({ offered, form, linked, asked, errors }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
