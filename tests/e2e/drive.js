// drive.js: one person at one Open WebUI, in headless Chromium. Does what a person does with one model
// and prints what the person sees, one JSON object a line; judge.py judges it. Settings come from the
// environment: OWUI_URL, OWUI_VERSION, CONTROL_URL (the scripted model server's control), MODEL, LABEL,
// SHOTS (folder), NODE_MODULES, CHROMIUM.
const path = require('path');
const { chromium } = require(path.join(process.env.NODE_MODULES, 'playwright-core'));
const BASE = process.env.OWUI_URL, CONTROL = process.env.CONTROL_URL;
const MODEL = process.env.MODEL, LABEL = process.env.LABEL, SHOTS = process.env.SHOTS;
const TEXT = 'What is the best way to store small records in a memory mapped file?';
const OTHER = 'Please explain how the kernel decides which page to evict first';
const sleep = ms => new Promise(r => setTimeout(r, ms));
const see = (step, saw) => console.log(JSON.stringify({ label: LABEL, step, ...saw }));

async function http(url, body, headers = {}) {
  const r = await fetch(url, { method: body === undefined ? 'GET' : 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  const t = await r.text();
  try { return { status: r.status, body: JSON.parse(t) }; } catch { return { status: r.status, body: t }; }
}
const step = name => http(`${CONTROL}/step/${encodeURIComponent(LABEL + ' ' + name)}`);
const calls = async () => (await http(`${CONTROL}/idle`)).body;
// waits until what() is true; the last value
async function until(what, max = 20000, every = 100) {
  for (const end = Date.now() + max; ;) {
    const v = await what();
    if (v || Date.now() > end) return v;
    await sleep(every);
  }
}
// no model call under way for `quiet` seconds
const idle = (quiet = 1.5) => until(async () => { const s = await calls(); return s.open === 0 && s.quiet >= quiet; }, 60000);
const chatting = () => until(async () => (await calls()).chats > 0, 15000, 50);

async function account() {
  const who = { name: 'Ada', email: 'ada@example.org', password: 'e2e-pass-1' };
  let r = await http(BASE + '/api/v1/auths/signin', who);
  if (r.status !== 200) r = await http(BASE + '/api/v1/auths/signup', { ...who, profile_image_url: '' });
  if (!r.body.token) throw new Error('no account: ' + JSON.stringify(r));
  return r.body;
}
const api = (acc, p, b) => http(BASE + p, b, { Authorization: 'Bearer ' + acc.token }).then(r => r.body);
const settings = (acc, ui = {}) => api(acc, '/api/v1/users/user/settings/update', { ui: { version: process.env.OWUI_VERSION, showChangelog: false, promptAutocomplete: true, showUpdateToast: false, webSearch: null, params: {}, ...ui } });

let page, acc;
const trouble = []; // answers of Open WebUI's task routes that were not 200, and errors of the page
const shot = name => page.screenshot({ path: path.join(SHOTS, `${LABEL}-${name}.png`) });
async function open() {
  await page.goto(`${BASE}/?models=${encodeURIComponent(MODEL)}`, { waitUntil: 'domcontentloaded' });
  await page.waitForSelector('#chat-input', { timeout: 60000 });
  await sleep(1500);
}
async function say(text) {
  await page.click('#chat-input');
  await page.keyboard.insertText(text);
  await sleep(200);
  await page.keyboard.press('Enter');
  await chatting();
}
const messages = () => page.evaluate(() => (document.querySelector('#messages-container') || document.body).innerText);
const ghost = () => page.evaluate(() => { const e = document.querySelector('#chat-input [data-suggestion]'); return e && e.getAttribute('data-suggestion'); });
const noGhost = () => until(async () => await ghost() === null, 3000, 20);
const toasts = () => page.evaluate(() => [...document.querySelectorAll('[data-sonner-toast]')].map(t => t.innerText));
const typed = () => page.evaluate(() => document.querySelector('#chat-input').innerText);
const sidebar = () => page.evaluate(() => [...document.querySelectorAll('#sidebar a[href^="/c/"]')].map(a => a.innerText.split('\n')[0]));
async function lastChat() {
  const list = await api(acc, '/api/v1/chats/?page=1');
  const chat = list && list[0] && await api(acc, '/api/v1/chats/' + list[0].id);
  return chat && { title: chat.title, tags: (chat.meta && chat.meta.tags) || [], replies: Object.values(chat.chat.history.messages).filter(m => m.role === 'assistant').map(m => ({ content: m.content, followUps: m.followUps || [], error: m.error })) };
}
async function state(name) {
  await page.mouse.move(900, 700); // no tooltip over what is to be seen
  await sleep(300);
  await shot(name);
  return { text: await messages(), tab: await page.title(), side: await sidebar(), chat: await lastChat(), toasts: await toasts() };
}
async function openSidebar() {
  const b = page.locator('button[aria-label="Open Sidebar"]');
  if (await b.count()) { await b.first().click().catch(() => {}); await sleep(700); }
}
async function tagsInMenu() { // where a person sees them: the menu of the open chat
  await page.locator('#chat-context-menu-button').first().click({ timeout: 4000 });
  await sleep(800);
  await shot('tags');
  const shown = await page.evaluate(() => { const m = document.querySelector('[role="menu"], [data-dropdown-menu-content], [data-menu-content]') || document.body; return m.innerText; });
  await page.keyboard.press('Escape');
  return shown;
}
// types as people do: 80 to 220 ms a key, a rest after some words (the same ones on every run)
async function typeLikeAPerson(text) {
  let seed = 7;
  const rnd = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (const ch of text) {
    await page.keyboard.type(ch);
    await sleep(ch === ' ' && rnd() < 0.4 ? 1300 + 600 * rnd() : 80 + 140 * rnd());
  }
}

const S = {};
S['new chat'] = async () => {
  await settings(acc);
  await open();
  await step('new chat');
  await say('How do I measure the latency of a small web service on one machine?');
  await idle();
  await openSidebar();
  see('new chat', { ...await state('new-chat'), menu: await tagsInMenu() });
};
S['rating'] = async () => { // Open WebUI asks for the tags again, in the same words
  await step('rating');
  await page.locator('button[aria-label="Good Response"]').last().click({ force: true, timeout: 4000 });
  await sleep(1500);
  await idle();
  see('rating', await state('rating'));
};
S['second turn'] = async () => {
  await step('second turn');
  await say('And how would I compare two versions of it fairly?');
  await idle();
  see('second turn', await state('second-turn'));
};
S['regenerate'] = async () => {
  await step('regenerate');
  await page.mouse.move(600, 300);
  await page.locator('button[aria-label="Regenerate"]').last().click({ force: true, timeout: 4000 });
  await sleep(500);
  const again = page.getByText('Try Again', { exact: true });
  if (await again.count()) await again.last().click({ timeout: 3000 });
  await chatting();
  await idle();
  see('regenerate', await state('regenerate'));
};
S['new title'] = async () => { // Rename, then the wand; and some time later once more
  await openSidebar();
  const generate = async name => {
    const [old, ...others] = await sidebar();
    await page.locator('#sidebar a[href^="/c/"]').first().hover();
    await page.locator('#sidebar button[aria-label="Chat Menu"]').first().click({ timeout: 4000, force: true });
    await sleep(500);
    await page.getByText('Rename', { exact: true }).first().click({ timeout: 4000 });
    await sleep(500);
    await step(name);
    await page.locator('#generate-title-button').last().click({ timeout: 4000, force: true });
    let last; // written letter by letter; while it is being edited it is no link, and the next chat is the first
    return until(async () => { const [v, ...rest] = await sidebar(), same = v === last; last = v; return rest.length === others.length && same && v && v !== old && v; }, 10000, 400);
  };
  const first = await generate('new title');
  await sleep(5500);
  const second = await generate('another title');
  see('new title', { first, second, ...await state('new-title') });
};
S['autocomplete'] = async () => {
  await open();
  await step('autocomplete');
  await page.click('#chat-input');
  await page.keyboard.type(TEXT.slice(0, 24), { delay: 90 });
  const first = await until(ghost, 8000);
  await shot('ghost');
  await step('autocomplete again');
  await page.keyboard.press('Escape'); // clears it; a second later Open WebUI asks for the same again
  const cleared = await noGhost();
  const again = await until(ghost, 8000);
  await step('accepted');
  await page.keyboard.press('Tab');
  await sleep(300);
  const input = await typed();
  await shot('accepted');
  await idle();
  see('autocomplete', { first, cleared, again, input, toasts: await toasts() });
};
S['typing'] = async () => {
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Backspace');
  await sleep(1500);
  await idle();
  await step('typing');
  await typeLikeAPerson(OTHER);
  const whole = await until(ghost, 8000);
  await step('taking back');
  for (let i = 0; i < 3; i++) { await page.keyboard.press('Backspace'); await sleep(150); }
  await noGhost();
  const shorter = await until(ghost, 8000);
  await step('typing again'); // to the same text as before
  for (const ch of OTHER.slice(-3)) { await page.keyboard.type(ch); await sleep(150); }
  await noGhost();
  const again = await until(ghost, 8000);
  await shot('typing');
  see('typing', { keys: OTHER.length, whole, shorter, again, input: await typed(), toasts: await toasts() });
  await step('typed');
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Backspace');
  await idle();
};
S['web search'] = async () => {
  await settings(acc, { params: { function_calling: 'legacy' }, webSearch: 'always' });
  await open();
  await step('web search');
  await say('Which tools show latency percentiles?');
  await idle();
  const s = await state('web-search');
  await settings(acc);
  see('web search', s);
};
S['stop'] = async () => {
  await open();
  await step('stop');
  await say('Please answer very slowly.');
  await until(async () => /word 3 /.test(await messages()), 15000, 50);
  await step('stopped');
  const clicked = await page.locator('button[aria-label="Stop"], #stop-response-button').last().click({ timeout: 4000, force: true }).then(() => true, () => false);
  await idle();
  const s = await state('stop');
  await sleep(1500); // whatever still came in would be seen now
  see('stop', { clicked, ...s, later: await messages() });
};

(async () => {
  acc = await account();
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const ctx = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await ctx.addInitScript(t => { localStorage.setItem('token', t); localStorage.setItem('locale', 'en-US'); }, acc.token);
  page = await ctx.newPage();
  page.on('response', r => { if (/\/api\/v1\/tasks\/|\/chat\/completions/.test(r.url()) && r.status() !== 200) trouble.push(`${r.status()} ${r.url()}`); });
  page.on('pageerror', e => trouble.push(String(e).slice(0, 300)));
  for (const [name, run] of Object.entries(S)) {
    try { await run(); } catch (e) {
      see(name, { broke: String(e.stack || e).slice(0, 800) });
      await shot(name.replace(/ /g, '-') + '-broke').catch(() => {});
    }
  }
  see('browser', { trouble });
  await browser.close();
  process.exit(0);
})().catch(e => { console.error(e); process.exit(1); });
