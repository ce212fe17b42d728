// Roles, sessions of sign-ins and their end; and requests that no page of the console made.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { CANARY, Ledger, Window, accessible, closeAll, picture } from "./harness.mjs";

let ledger;
before(async () => { ledger = await Ledger.start(); await ledger.create("API_Key", CANARY); });
after(closeAll);

test("members of different rights see different controls", async () => {
  const viewer = await ledger.member("vera", "viewer");
  const editor = await ledger.member("edi", "editor", "STRIPE_*");
  const window = await Window.open(await ledger.login(viewer));
  for (const act of ["view", "edit"]) assert.equal(await window.page.locator(`[data-act=${act}]`).count(), 0, act);
  assert.equal(await window.page.locator("[data-key=n]").count(), 0);
  await window.page.click("nav >> text=Audit log");
  await window.page.waitForSelector("text=Owners and auditors read the audit log");
  await accessible(window.page, "a refused audit log");
  // An action without a button is refused by the ledger all the same, and recorded.
  const refused = await window.page.evaluate(async () => {
    const answer = await fetch("/w/demo/secrets/API_Key/view", { method: "POST", headers: { accept: "application/json" } });
    return { status: answer.status, text: await answer.text() };
  });
  assert.equal(refused.status, 403);
  assert.ok(!refused.text.includes(CANARY));
  const denied = await ledger.audit("--outcome", "denied");
  assert.equal(denied.length, 1);
  assert.equal(denied[0].actor_name, "vera");
  assert.ok(denied[0].sign_in_key, "the entry says that a sign-in signed it");
  await window.close();
  const owner = await Window.open(await ledger.link());
  await owner.page.goto(`${ledger.base}/audit?outcome=denied`);
  await owner.page.waitForSelector(".audit tbody tr >> text=signed in");
  await owner.page.click("[data-open]");
  await owner.page.waitForSelector(`dialog >> text=${denied[0].sign_in_key}`);
  await accessible(owner.page, "an entry through a sign-in");
  await owner.close();
  const other = await Window.open(await ledger.login(editor));
  assert.equal(await other.page.locator("#s-API_Key").count(), 0, "a name outside the scope is not listed");
  await other.close();
});

test("an owner adds and removes members", async () => {
  const window = await Window.open((await ledger.console()).info.console_url);
  const { page } = window;
  const person = await ledger.stranger("temp");
  await page.click("nav >> text=Members");
  await page.waitForSelector("table.members");
  await page.click("text=Add member");
  await page.fill("#name", "temp");
  await page.fill("#key", "ed25519:nonsense");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("text=A public key is ed25519: and 43 letters");
  await page.fill("#key", person.key);
  await page.check("[value=viewer]");
  await page.fill("#secrets", "API_* stripe_*");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("text=Added temp");
  const added = (await ledger.ok(["member", "list", "--json"])).split("\n").filter(Boolean).map((line) => JSON.parse(line)).find(({ name }) => name === "temp");
  assert.deepEqual([added.role, added.secrets], ["viewer", ["API_*", "stripe_*"]]);
  await accessible(page, "members");
  await picture(page, "members");
  await page.click('[aria-label="Change temp"]');
  await page.fill("#expires", "8h");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("text=Changed temp");
  const session = await Window.open(await ledger.login(person));
  await page.click('[aria-label="Remove temp"]');
  await page.click("text=Remove for sure?");
  await page.waitForSelector("text=Removed temp");
  await session.page.reload();
  await session.page.waitForSelector("text=this session has ended");
  await session.page.goto(`${ledger.base}/secrets`);
  await session.page.waitForSelector("text=You are signed out");
  await session.close();
  window.quiet();
  await window.close();
  await ledger.own.stop();
});

test("two consoles on one machine do not sign each other out", async () => {
  const window = await Window.open(await ledger.link());
  const own = await ledger.console();
  const page = await window.context.newPage();
  await page.goto(own.info.console_url);
  await page.waitForSelector("#s-API_Key");
  await window.page.reload();
  await window.page.waitForSelector("#s-API_Key");
  await page.reload();
  await page.waitForSelector("#s-API_Key");
  await window.close();
  await own.stop();
});

test("a session ends when it expires, and what was shown is gone", async () => {
  const window = await Window.open(await ledger.login({ home: ledger.home }, "--expires", "12s"));
  const { page } = window;
  const path = `${ledger.base}/secrets`;
  const cookie = (await window.context.cookies())[0];
  assert.ok(cookie.expires * 1_000 < Date.now() + 12_000, "the browser forgets it too");
  await page.click("#s-API_Key [data-act=view]");
  await page.waitForSelector("tr.shown pre");
  // Sends its own cookie, as a thief of it would.
  for (let status = 200; status !== 401; await new Promise((resolve) => setTimeout(resolve, 300))) {
    const answer = await request("GET", "/w/demo/secrets", { cookie: `${cookie.name}=${cookie.value}` });
    status = answer.statusCode;
    assert.ok(Date.now() < cookie.expires * 1_000 + 5_000, "it goes on");
  }
  // A button in a page that is still open leads to the message.
  const count = (await ledger.audit()).length;
  await page.click("#s-API_Key [data-act=view]");
  await page.click("#s-API_Key [data-act=view]");
  await page.waitForSelector("text=You are signed out");
  await page.waitForSelector("text=console login");
  assert.ok(!(await page.content()).includes(CANARY));
  await accessible(page, "signed out");
  await page.goto(path);
  await page.waitForSelector("text=You are signed out");
  assert.equal((await ledger.audit()).length, count);
  await window.close();
});

test("a link works once, and signing out ends the session", async () => {
  const link = await ledger.link();
  const window = await Window.open(link);
  const cookie = (await window.context.cookies())[0];
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  const second = await Window.open();
  await second.page.goto(link);
  await second.page.waitForSelector("text=used before or is older than a minute");
  await window.page.click(".me summary");
  await window.page.click("text=Sign out");
  await window.page.waitForSelector("text=You are signed out");
  await window.page.goto(`${ledger.base}/secrets`);
  await window.page.waitForSelector("text=You are signed out");
  // The cookie itself is worth nothing any more.
  await window.context.addCookies([cookie]);
  await window.page.goto(`${ledger.base}/secrets`);
  await window.page.waitForSelector("text=You are signed out");
  await window.close();
  await second.close();
});

function request(method, path, headers) {
  const { hostname, port } = new URL(ledger.url);
  return new Promise((resolve, reject) => {
    const asked = http.request({ hostname, port, path, method, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("foreign hosts and cross-site posts are refused before anything else", async () => {
  const window = await Window.open(await ledger.link());
  const cookie = (await window.context.cookies()).map(({ name, value }) => `${name}=${value}`).join();
  const before = (await ledger.audit()).length;
  const path = "/w/demo/secrets/API_Key/view";
  assert.equal((await request("POST", path, { cookie, host: "evil.example", origin: ledger.url })).statusCode, 421);
  assert.equal((await request("GET", "/", { cookie, host: "evil.example" })).statusCode, 421);
  assert.equal((await request("POST", path, { cookie, origin: "http://evil.example" })).statusCode, 403);
  assert.equal((await request("POST", path, { cookie })).statusCode, 403);
  // A page of another site, in the same browser.
  const evil = http.createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end(`<form method=post action="${ledger.url}${path}"><button>x</button></form>`);
  });
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
  const page = await window.context.newPage();
  await page.goto(`http://127.0.0.1:${evil.address().port}/`);
  const [answer] = await Promise.all([page.waitForResponse(/view/), page.click("button")]);
  assert.equal(answer.status(), 403);
  evil.close();
  assert.equal((await ledger.audit()).length, before, "none of it is an entry");
  await window.close();
});

// A page of another site that links to an address, and that the browser can go back to.
async function elsewhere(host, body) {
  const site = http.createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end(`<!doctype html><title>elsewhere</title>${body}`);
  });
  await new Promise((resolve) => site.listen(0, host, resolve));
  // A failed test does not close it.
  site.unref();
  return { url: `http://${host}:${site.address().port}/`, close: () => site.close() };
}
const asked = (page) => page.getByRole("heading", { level: 1 }).innerText();
const whoIs = async (page) => {
  await page.goto(`${ledger.base}/secrets`);
  return page.locator(".me .name").innerText();
};

test("a link on another page signs nobody in by itself", async () => {
  const vera = await ledger.member("vera2", "viewer");
  // Another site, and another port of this one.
  for (const host of ["localhost", "127.0.0.1"]) {
    const link = await ledger.login(vera);
    const site = await elsewhere(host, `<a href="${link}">look</a><script>
      // After the page has loaded: before that there would be no way back.
      if (!sessionStorage.led) addEventListener("load", () => setTimeout(() => { sessionStorage.led = 1; location.assign("${link}"); }, 50));
    </script>`);
    const window = await Window.open();
    const { page } = window;
    await page.goto(site.url);
    await page.waitForURL(/enter/);
    assert.equal(await asked(page), "Sign in to this console?");
    assert.ok(await page.locator(`text=${vera.key}`).isVisible());
    await accessible(page, "a question before signing in");
    // However the user comes back to it.
    await page.reload();
    assert.equal(await asked(page), "Sign in to this console?");
    await page.goBack();
    await page.waitForSelector("text=look");
    await page.goForward();
    assert.equal(await asked(page), "Sign in to this console?");
    await page.goBack();
    await page.click("text=look");
    assert.equal(await asked(page), "Sign in to this console?");
    assert.deepEqual(await window.context.cookies(), []);
    await page.click("text=Do not sign in");
    await page.waitForSelector("text=You are signed out");
    await page.goto(link);
    await page.click("button");
    await page.waitForURL(/\/secrets/);
    assert.equal(await whoIs(page), "vera2");
    window.quiet();
    await window.close();
    site.close();
  }
});

test("whoever is signed in stays so until another is chosen", async () => {
  const vera = await ledger.member("vera3", "viewer");
  for (const javaScriptEnabled of [true, false]) {
    const window = await Window.open(await ledger.link(), { javaScriptEnabled });
    const { page } = window;
    const me = await whoIs(page);
    const link = await ledger.login(vera);
    await page.goto(link);
    assert.equal(await asked(page), "Sign in as somebody else?");
    if (javaScriptEnabled) await accessible(page, "a question before changing who is signed in");
    await page.click("text=Stay signed in");
    await page.waitForURL(/\/secrets/);
    assert.equal(await whoIs(page), me);
    // From another site the browser sends the session only with the form, so the form asks.
    const site = await elsewhere("localhost", `<a href="${link}">look</a>`);
    await page.goto(site.url);
    await page.click("text=look");
    assert.equal(await asked(page), "Sign in to this console?");
    await page.click("button");
    await page.waitForSelector("text=That session ends.");
    assert.equal(await asked(page), "Sign in as somebody else?");
    assert.equal(await whoIs(page), me);
    const [cookie] = await window.context.cookies();
    await page.goto(link);
    await page.click("button");
    await page.waitForURL(/\/secrets/);
    assert.equal(await whoIs(page), "vera3");
    const answer = await request("GET", "/w/demo/secrets", { cookie: `${cookie.name}=${cookie.value}` });
    assert.equal(answer.statusCode, 401, "the other session has ended");
    // The same person is not asked.
    await page.goto(await ledger.login(vera));
    if (!javaScriptEnabled) await page.click("button");
    await page.waitForURL(/\/secrets/);
    assert.equal(await whoIs(page), "vera3");
    site.close();
    await window.close();
  }
});

test("every response has its headers", async () => {
  const window = await Window.open(await ledger.link());
  const cookie = (await window.context.cookies()).map(({ name, value }) => `${name}=${value}`).join();
  await window.close();
  const pages = ["/", "/enter?token=x", "/nothing", "/assets/nothing.js", "/w/demo/secrets"].map((path) => ["GET", path, {}]);
  pages.push(["GET", "/w/demo/secrets", { cookie }], ["GET", "/w/demo/audit.jsonl", { cookie }]);
  pages.push(["POST", "/w/demo/secrets/API_Key/view", { cookie, origin: ledger.url }]);
  pages.push(["GET", "/", { host: "evil.example" }], ["POST", "/", { origin: "http://evil.example" }]);
  for (const [method, path, sent] of pages) {
    const { headers } = await request(method, path, sent);
    assert.match(headers["content-security-policy"], /default-src 'none'.*frame-ancestors 'none'.*require-trusted-types-for 'script'/);
    assert.doesNotMatch(headers["content-security-policy"], /unsafe/);
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["x-frame-options"], "DENY");
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    assert.equal(headers["cross-origin-resource-policy"], "same-origin");
    assert.match(headers["content-security-policy"], /script-src 'self'; style-src 'self'.*form-action 'self'.*trusted-types 'none'/);
    assert.match(headers["permissions-policy"], /camera=\(\)/);
  }
});
