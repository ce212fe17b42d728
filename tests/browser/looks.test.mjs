// Every tab and dialog, in windows of every width, with names of the greatest length: nothing overflows, and axe finds
// nothing in either theme.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Ledger, Window, accessible, closeAll, fits, picture } from "./harness.mjs";

const LONG = "L".repeat(128);
let ledger;

before(async () => {
  ledger = await Ledger.start();
  await ledger.create(LONG, "x".repeat(4096), "--description", "word ".repeat(150).trim(), "--rotate-every", "1s");
  await ledger.create("API_Key", "sk", "--description", "Payments, production");
  await ledger.ok(["secret", "edit", "API_Key", "--stdin", "--reason", "r".repeat(200)], "sk-2");
  await ledger.ok(["secret", "reveal", "API_Key"]);
  await ledger.create("Gone", "x");
  await ledger.ok(["secret", "delete", "Gone", "--yes"]);
  await ledger.create("Deploy_Token", "x", "--restricted");
  await ledger.member("m".repeat(60), "viewer", "A".repeat(100));
});
after(closeAll);

const PAGES = ["secrets", "secrets?show=deleted", "secrets?q=nothing", "new", "import", `secrets/${LONG}/edit`, `secrets/${LONG}/details`, `secrets/${LONG}/history`, `secrets/${LONG}/delete`, "audit", "audit?secret=Nothing", "audit?actor=nobody", "audit/2", "members", "members/add", "no-such-page"];

test("every tab and dialog is accessible and fits its window", async () => {
  const window = await Window.open(await ledger.link());
  const { page } = window;
  const own = await Window.open((await ledger.console()).info.console_url);
  for (const path of PAGES) {
    // Managing members needs the member's own key.
    const { page } = path.startsWith("members") ? own : window;
    const base = path.startsWith("members") ? `${new URL(own.page.url()).origin}/w/demo` : ledger.base;
    for (const width of [1180, 760, 360]) {
      await page.setViewportSize({ width, height: 800 });
      await page.goto(`${base}/${path}`);
      await fits(page, path);
      if (width === 1180) await accessible(page, path);
      // Colours do not depend on the width.
      if (width === 360) await accessible(page, `${path}, narrow`, ["light"]);
    }
    await page.setViewportSize({ width: 1180, height: 720 });
  }
  await own.page.goto(`${new URL(own.page.url()).origin}/w/demo/members`);
  await own.page.click(`[aria-label^="Change mmm"]`);
  await own.page.waitForSelector("dialog.sheet:modal >> text=Change mmm");
  for (const width of [360, 760, 1180]) {
    await own.page.setViewportSize({ width, height: 800 });
    await fits(own.page, "the dialog for a member");
  }
  await accessible(own.page, "the dialog for a member");
  await page.goto(`${ledger.base}/secrets`);
  await page.click(".me summary");
  await accessible(page, "the menu about oneself");
  await page.click("text=Keys");
  await page.waitForSelector("#help:modal");
  await page.keyboard.press("Escape");
  await page.click("#s-API_Key summary");
  await accessible(page, "a row's menu");
  await page.goto(`${ledger.base}/new`);
  await picture(page, "new");
  await page.setViewportSize({ width: 390, height: 780 });
  await page.goto(`${ledger.base}/secrets`);
  await page.click("#s-API_Key [data-act=view]");
  await page.waitForSelector("tr.shown pre");
  await fits(page, "a value in a narrow window");
  await accessible(page, "a value in a narrow window");
  await picture(page, "narrow");
  window.quiet();
  own.quiet();
  await window.close();
  await own.close();
});

test("a drawer shows who has seen a version, and asks about a line break only where there is one", async () => {
  const window = await Window.open(await ledger.link());
  const { page } = window;
  await page.goto(`${ledger.base}/secrets/API_Key/history`);
  await page.waitForSelector(".versions >> text=/Seen by owner/");
  await page.waitForSelector(".versions >> text=Seen by nobody");
  assert.equal(await page.evaluate(() => document.activeElement.id), "sheet-title");
  await page.goto(`${ledger.base}/secrets/API_Key/edit`);
  assert.ok(await page.locator(".newline").isHidden());
  await page.fill("#value", "two\nlines\n");
  assert.ok(await page.locator(".newline").isVisible());
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("text=The value ends in a line break");
  await page.check("[name=newline]");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("text=Saved API_Key v3");
  assert.equal(await ledger.ok(["secret", "reveal", "API_Key"]), "two\nlines\n");
  await page.goto(`${ledger.base}/secrets/API_Key/edit`);
  await page.click("text=Generate");
  assert.match(await page.inputValue("#value"), /^[A-Za-z0-9]{32}$/);
  assert.ok(await page.locator(".newline").isHidden());
  await window.close();
});

test("details and a new name", async () => {
  const window = await Window.open(await ledger.link());
  const { page } = window;
  await page.goto(`${ledger.base}/secrets/Deploy_Token/details`);
  assert.ok(await page.locator("[name=restricted]").isDisabled(), "nobody is offered what the ledger refuses");
  assert.ok(await page.locator("[name=restricted]").isChecked());
  await page.fill("#description", "For the release job");
  await page.fill("#hosts", "api.example.com *.example.org");
  await page.fill("#rotate", "90d");
  await page.click("text=Save details");
  await page.waitForSelector("text=Saved the details of Deploy_Token");
  const listed = (await ledger.ok(["secret", "list", "--json"])).split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const row = listed.find(({ name }) => name === "Deploy_Token");
  assert.deepEqual([row.description, row.allowed_hosts, row.restricted], ["For the release job", ["api.example.com", "*.example.org"], true]);
  await page.goto(`${ledger.base}/secrets/Deploy_Token/details`);
  await page.fill("#to", "Release_Token");
  await page.click('"Rename"');
  await page.waitForSelector("text=Deploy_Token is now called Release_Token");
  assert.ok(await page.locator("#s-Release_Token .value >> text=never shown").isVisible());
  assert.equal(await page.locator("#s-Release_Token [data-act=view]").count(), 0);
  await page.click(".filters >> text=Restricted");
  await page.waitForURL(/show=restricted/);
  assert.deepEqual(await page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.dataset.name)), ["Release_Token"]);
  await page.click(".filters >> text=Stale");
  await page.waitForURL(/show=stale/);
  assert.deepEqual(await page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.dataset.name)), [LONG]);
  await window.close();
});
