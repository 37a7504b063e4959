// drive.js: one person at one Open WebUI, in headless Chromium. Does what a person does with one model
// (new chat, second turn, regenerate, web search, typing, stop) and prints what the person sees, one
// JSON object a line; e2e.py judges it. Settings come from the environment: OWUI_URL, CONTROL_URL (the
// scripted model server's control), MODEL, LABEL, SHOTS (folder), NODE_MODULES, CHROMIUM.
const path = require('path');
const { chromium } = require(path.join(process.env.NODE_MODULES, 'playwright-core'));
const BASE = process.env.OWUI_URL, CONTROL = process.env.CONTROL_URL;
const MODEL = process.env.MODEL, LABEL = process.env.LABEL, SHOTS = process.env.SHOTS;
const sleep = ms => new Promise(r => setTimeout(r, ms));
const see = (step, saw) => console.log(JSON.stringify({ label: LABEL, step, ...saw }));
const TEXT = 'What is the best way to store small records in a memory mapped file?';

async function http(url, body, headers = {}) {
  const r = await fetch(url, { method: body === undefined ? 'GET' : 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  const t = await r.text();
  try { return { status: r.status, body: JSON.parse(t) }; } catch { return { status: r.status, body: t }; }
}
const step = name => http(`${CONTROL}/step/${encodeURIComponent(LABEL + ' ' + name)}`);
// waits until what() is true; the last value
async function until(what, max = 20000, every = 100) {
  for (const end = Date.now() + max; ;) {
    const v = await what();
    if (v || Date.now() > end) return v;
    await sleep(every);
  }
}
// no model call under way for `quiet` seconds
const idle = (quiet = 1.5) => until(async () => { const s = (await http(`${CONTROL}/idle`)).body; return s.open === 0 && s.quiet >= quiet; }, 60000);
const chatting = () => until(async () => (await http(`${CONTROL}/idle`)).body.chats > 0, 15000, 50);

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
const toasts = () => page.evaluate(() => [...document.querySelectorAll('[data-sonner-toast]')].map(t => t.innerText));
const count = (text, word) => text.split(word).length - 1;
async function lastChat() {
  const list = await api(acc, '/api/v1/chats/?page=1');
  const chat = list && list[0] && await api(acc, '/api/v1/chats/' + list[0].id);
  return chat && { title: chat.title, tags: (chat.meta && chat.meta.tags) || [], replies: Object.values(chat.chat.history.messages).filter(m => m.role === 'assistant').map(m => ({ content: m.content, followUps: m.followUps || [], error: m.error })) };
}
async function tagsInMenu() { // where a person sees them: the menu of the open chat
  for (const id of ['#chat-context-menu-button', 'button[aria-label="Chat Menu"]', 'button[aria-label="More"]']) {
    const b = page.locator(id).first();
    if (!await b.count()) continue;
    await b.click({ timeout: 3000, force: true }).catch(() => {});
    await sleep(600);
    const t = await page.evaluate(() => document.body.innerText);
    if (/technology/i.test(t)) { await shot('tags'); await page.keyboard.press('Escape'); return true; }
    await page.keyboard.press('Escape');
    await sleep(200);
  }
  return false;
}
async function state(name) {
  const text = await messages();
  await shot(name);
  return { text, tab: await page.title(), chat: await lastChat(), toasts: await toasts() };
}

const S = {};
S['new chat'] = async () => {
  await settings(acc);
  await open();
  await step('new chat');
  await say('How do I measure the latency of a small web service on one machine?');
  await idle();
  const sidebar = page.locator('button[aria-label="Open Sidebar"]');
  if (await sidebar.count()) { await sidebar.first().click().catch(() => {}); await sleep(700); }
  const side = await page.evaluate(() => (document.querySelector('#sidebar') || { innerText: '' }).innerText);
  see('new chat', { ...await state('new-chat'), side, tagsShown: await tagsInMenu() });
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
S['autocomplete'] = async () => {
  await open();
  await step('autocomplete');
  await page.click('#chat-input');
  await page.keyboard.type(TEXT.slice(0, 24), { delay: 90 });
  const first = await until(ghost, 8000);
  await shot('ghost');
  await step('autocomplete again');
  await page.keyboard.press('Escape'); // clears it; a second later Open WebUI asks for the same again
  const cleared = await until(async () => await ghost() === null, 3000, 20);
  const again = await until(ghost, 8000);
  await step('autocomplete type-through');
  await page.keyboard.press('Tab');
  await sleep(300);
  const input = await page.evaluate(() => document.querySelector('#chat-input').innerText);
  see('autocomplete', { first, cleared, again, input, toasts: await toasts() });
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
  see('stop', { clicked, ...await state('stop') });
};

(async () => {
  acc = await account();
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const ctx = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await ctx.addInitScript(t => { localStorage.setItem('token', t); localStorage.setItem('locale', 'en-US'); }, acc.token);
  page = await ctx.newPage();
  for (const [name, run] of Object.entries(S)) {
    try { await run(); } catch (e) {
      see(name, { broke: String(e.stack || e).slice(0, 800) });
      await shot(name.replace(/ /g, '-') + '-broke').catch(() => {});
    }
  }
  await browser.close();
  process.exit(0);
})().catch(e => { console.error(e); process.exit(1); });
