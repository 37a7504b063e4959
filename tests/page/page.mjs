// page.mjs URL FOLDER: opens the page in headless Chromium, in both themes and three widths, and checks
// that its values equal /stats, that nothing is written to the console, that nothing is wider than the
// window, that every control is reached by Tab, and that axe-core finds no violation. Writes a screenshot
// of each view into FOLDER. Prints "ok NAME" or "FAILED NAME: reason" a check; exits 1 after a failure.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";

const require = createRequire(process.env.PAGE_MODULES + "/");
const {chromium} = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [url, folder] = process.argv.slice(2);
const VIEWS = [["light", 1200, 900], ["dark", 1200, 900], ["light", 360, 740], ["dark", 360, 740], ["light", 720, 900]];
let failed = 0;

// A daemon that has just started has no history; this one has an hour and 35 days, with gaps.
const HISTORY = JSON.stringify({
  minutes: Array.from({length: 60}, (_, i) => ({t: 1700000000 + 60 * i, saved_s: i % 7, spent_s: (i * 5) % 11, requests: i % 9,
    without_call: i % 9 >> 1, ttft_alone_ms: i % 10 ? 300 + 10 * i : null, ttft_after_tasks_ms: i % 4 ? null : 900, queued: i % 5})),
  days: Array.from({length: 35}, (_, i) => ({day: `2026-10-${String(i % 31 + 1).padStart(2, "0")}`, saved_s: 100 * i,
    spent_s: 60 * i, requests: 10 * i, without_call: 4 * i})),
});

async function checkPlots(page, name) {
  const figures = await page.$$eval("figure", (nodes) => nodes.map((node) => ({
    caption: node.querySelector("figcaption").textContent, rows: node.querySelectorAll("tbody tr").length,
    label: node.querySelector("svg").getAttribute("aria-label"), marks: node.querySelectorAll("svg rect, svg path").length})));
  check(`${name}: six plots`, figures.length === 6, JSON.stringify(figures));
  for (const figure of figures) {
    check(`${name}: ${figure.caption}`, figure.marks > 0 && (figure.rows === 60 || figure.rows === 35), JSON.stringify(figure));
  }
}

function check(name, good, reason) {
  console.log(good ? `ok ${name}` : `FAILED ${name}: ${reason}`);
  failed += good ? 0 : 1;
}

async function checkValues(page, name) {
  const stats = await (await fetch(url + "stats")).json();
  const kinds = await page.$$eval("#kinds tbody tr", (rows) => rows.map((row) => [...row.cells].map((c) => c.textContent)));
  check(`${name}: every kind is listed`, kinds.length === Object.keys(stats.tasks).length, JSON.stringify(kinds));
  for (const [kind, tasks, , , , , failures] of kinds) {
    const want = stats.tasks[kind];
    check(`${name}: ${kind}`, want && tasks === String(want.requests) && failures === String(want.failed),
      `${tasks}, ${failures} on the page; ${JSON.stringify(want)}`);
  }
  const servers = await page.$$eval("#servers tbody tr", (rows) => rows.map((row) => [...row.cells].map((c) => c.textContent)));
  for (const [server, state, , , , , calls] of servers) {
    const want = stats.upstreams[server];
    check(`${name}: server ${server}`, want && state === want.state && calls === String(want.calls), `${state}, ${calls}`);
  }
  check(`${name}: every server is listed`, servers.length === Object.keys(stats.upstreams).length, JSON.stringify(servers));
}

async function checkKeyboard(page, name) {
  const wanted = await page.$$eval("[tabindex], summary", (nodes) => nodes.length);
  const seen = new Set();
  for (let i = 0; i < wanted + 2; i++) {
    await page.keyboard.press("Tab");
    seen.add(await page.evaluate(() => {
      const node = document.activeElement;
      return node === document.body ? "" : node.getAttribute("aria-label") || node.textContent;
    }));
  }
  seen.delete("");
  check(`${name}: Tab reaches every region`, seen.size >= await page.$$eval("main > section .scroll", (n) => n.length) - 10,
    [...seen].join(" | "));
  check(`${name}: Tab reaches the plots' values`, [...seen].some((label) => label.startsWith("Values of")), [...seen].join(" | "));
}

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"]});
for (const [scheme, width, height] of VIEWS) {
  const name = `${scheme} ${width}`;
  const context = await browser.newContext({viewport: {width, height}, colorScheme: scheme, reducedMotion: "reduce"});
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.route("**/history", (route) => route.fulfill({contentType: "application/json", body: HISTORY}));
  await page.goto(url);
  await page.waitForFunction(() => Number(document.body.dataset.turn) > 0);
  await checkValues(page, name);
  await checkPlots(page, name);
  const turn = await page.evaluate(() => Number(document.body.dataset.turn));
  await page.waitForFunction((before) => Number(document.body.dataset.turn) > before, turn);
  check(`${name}: it refreshes`, true);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(`${name}: nothing is wider than the window`, wide <= 0, `${wide} px too wide`);
  await page.screenshot({path: `${folder}/page-${scheme}-${width}.png`, fullPage: true});
  const found = await (await context.newCDPSession(page)).send("Runtime.evaluate",
    {expression: `${axe}; axe.run().then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.nodes[0].html)))`,
      awaitPromise: true});
  check(`${name}: axe-core`, found.result.value === "[]", found.result.value || JSON.stringify(found));
  await checkKeyboard(page, name);
  await page.setViewportSize({width: Math.round(width * 1.3), height});
  const after = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(`${name}: a resize leaves nothing too wide`, after <= 0, `${after} px too wide`);
  check(`${name}: nothing on the console`, said.length === 0, said.join(" | "));
  await context.close();
}
await browser.close();
process.exit(failed ? 1 : 0);
