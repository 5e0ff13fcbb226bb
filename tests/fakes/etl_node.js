// An ETL script for Node: turns the CSV files of its sync into Singer messages, as etl_singer.py does.

const fs = require("node:fs");
const path = require("node:path");

const root = process.env.ROOT;
const out = [];
for (const name of fs.readdirSync(path.join(root, "sync-output")).filter((name) => name.endsWith(".csv"))) {
  const stream = name.slice(0, name.lastIndexOf("-"));
  const [header, ...lines] = fs.readFileSync(path.join(root, "sync-output", name), "utf8").trim().split(/\r?\n/);
  const keys = header.split(",").map((key) => key.replaceAll('"', ""));
  const properties = Object.fromEntries(keys.map((key) => [key, { type: ["null", "string"] }]));
  out.push({ type: "SCHEMA", stream, schema: { type: "object", properties }, key_properties: ["id"] });
  for (const line of lines) {
    const values = line.split(",").map((value) => value.replaceAll('"', ""));
    out.push({ type: "RECORD", stream, record: Object.fromEntries(keys.map((key, at) => [key, values[at]])) });
  }
}
fs.writeFileSync(path.join(root, "etl-output", "data.singer"), out.map((message) => JSON.stringify(message) + "\n").join(""));
