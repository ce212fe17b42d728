// The Secrets tab: whose values are shown, to whom, for how long, and the records of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CANARY, Ledger, Window, accessible, closeAll, picture } from "./harness.mjs";

let ledger;
before(async () => { ledger = await Ledger.start(); });
after(closeAll);

const save = (page) => page.click("dialog button[type=submit]");

test("a newcomer creates, views, edits, audits and deletes a secret", async () => {
  const window = await Window.open(ledger.dev.info.console_url);
  const { page } = window;
  await picture(page, "empty");
  await accessible(page, "the empty page");
  await page.click("text=New secret");
  await page.fill("#name", "API_Key");
  await page.fill("#value", CANARY);
  await accessible(page, "the dialog for a new secret");
  await save(page);
  await page.waitForSelector("#s-API_Key");
  await ledger.create("DB_URL", "postgres://…", "--description", "Main database", "--rotate-every", "90d");
  await ledger.create("STRIPE_live", "sk", "--description", "Billing, production", "--allow-host", "api.stripe.com");
  await ledger.create("Deploy_Token", "t", "--restricted");
  await page.reload();
  await window.nowhere(CANARY);

  const reads = async () => (await ledger.audit("--action", "secret.revealed", "--secret", "API_Key")).length;
  assert.equal(await reads(), 0);
  await page.click("#s-API_Key [data-act=view]");
  await page.waitForSelector("tr.shown pre");
  assert.equal(await page.textContent("tr.shown pre"), CANARY);
  assert.equal(await page.getAttribute("#s-API_Key [data-act=view]", "aria-pressed"), "true");
  await picture(page, "view");
  await accessible(page, "a shown value");
  await page.click("#s-API_Key [data-act=view]");
  assert.equal(await page.locator("tr.shown").count(), 0);
  assert.equal(await reads(), 1, "a reveal adds exactly one entry");
  await window.nowhere(CANARY);

  await page.click("#s-API_Key [data-act=edit]");
  await page.fill("#value", `${CANARY}-2`);
  await save(page);
  await page.waitForSelector("text=Saved API_Key v2");
  await page.click("#s-API_Key [data-act=history]");
  await page.waitForSelector(".versions");
  await accessible(page, "history");
  await picture(page, "history");
  await page.click("text=Restore as v3");
  await page.waitForSelector("text=has the value of v1 again");
  assert.equal(await ledger.ok(["secret", "reveal", "API_Key"]), CANARY);

  await page.click("nav >> text=Audit log");
  await page.waitForSelector("table.audit");
  await accessible(page, "the audit log");
  await picture(page, "audit");
  await page.click("[data-open]");
  await page.waitForSelector("text=has just checked it");
  await accessible(page, "an entry");
  await picture(page, "entry");

  await page.goto(`${ledger.base}/secrets`);
  await page.click("#s-API_Key summary");
  await page.click("#s-API_Key >> text=Delete…");
  await accessible(page, "the dialog for deleting");
  await page.fill("#confirm", "something");
  await save(page);
  await page.waitForSelector("text=Nothing was deleted");
  await page.fill("#confirm", "API_Key");
  await save(page);
  await page.waitForSelector("text=Deleted API_Key");
  assert.equal(await page.locator("#s-API_Key").count(), 0);
  await page.click(".filters >> text=Deleted");
  await page.click("#s-API_Key >> text=Restore");
  await page.waitForSelector("text=Restored API_Key");
  await page.waitForSelector("#s-API_Key");
  await window.nowhere(CANARY);
  window.quiet();
  await window.close();
});

test("one byte and four thousand look alike", async () => {
  await ledger.create("Short_One", "x");
  await ledger.create("Large_One", "y".repeat(4096));
  const window = await Window.open(await ledger.link());
  const cell = async (name) => {
    const value = window.page.locator(`#s-${name} .value`);
    const { width, height } = await value.boundingBox();
    return { html: await value.innerHTML(), width, height };
  };
  assert.deepEqual(await cell("Short_One"), await cell("Large_One"));
  await window.close();
});

test("a value hides by itself, and when nobody looks", async () => {
  await ledger.create("Hidden_One", CANARY);
  const window = await Window.open(await ledger.link());
  const { page } = window;
  await page.clock.install();
  await page.reload();
  const view = async () => {
    await page.click("#s-Hidden_One [data-act=view]");
    await page.waitForSelector("tr.shown pre");
  };
  const hidden = async () => {
    assert.equal(await page.locator("tr.shown").count(), 0);
    assert.equal(await page.textContent("#s-Hidden_One [data-act=view]"), "View");
    await window.nowhere(CANARY);
  };
  await view();
  await page.clock.runFor(29_000);
  assert.equal(await page.locator("tr.shown pre").count(), 1);
  await page.clock.runFor(1_500);
  await hidden();
  await view();
  await page.evaluate(() => window.dispatchEvent(new Event("blur")));
  await hidden();
  await view();
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await hidden();
  await window.close();
});

test("what to know of a value stands above it, once", async () => {
  await ledger.create("Anew_One", "first");
  const edna = await ledger.member("edna", "editor");
  const edna_s = (words, input) => ledger.ok([...words, "--nats", ledger.dev.info.nats_url, "--nats-creds", ledger.dev.info.nats_creds, "-w", "demo"], input, edna.home);
  const renew = async () => {
    await edna_s(["secret", "delete", "Anew_One", "--yes"]);
    await edna_s(["secret", "create", "Anew_One", "--stdin"], CANARY);
  };
  await renew();
  const window = await Window.open(await ledger.link());
  const { page } = window;
  const alert = page.locator("tr.shown [role=alert]");
  const view = async () => {
    await page.click("#s-Anew_One [data-act=view]");
    await page.waitForSelector("tr.shown pre");
  };
  await view();
  assert.match(await alert.textContent(), /^Anew_One is another secret than before/);
  assert.equal(await page.textContent("tr.shown pre"), CANARY);
  await accessible(page, "a value with a warning");
  await page.click("#s-Anew_One [data-act=view]");
  await view();
  assert.equal(await alert.count(), 0);
  // The result of an action is shown on the next page.
  await renew();
  await page.goto(`${ledger.base}/secrets/Anew_One/edit`);
  await page.fill("#value", "by the owner");
  await save(page);
  await page.waitForSelector("text=Saved Anew_One v2");
  assert.match(await page.textContent(".flash.warning"), /Anew_One is another secret than before/);
  await accessible(page, "a warning after an act");
  await page.reload();
  assert.equal(await page.locator(".flash").count(), 0);
  await window.close();
});

test("a second editor does not write over the first", async () => {
  await ledger.create("Shared_One", "first");
  const [one, two] = [await Window.open(await ledger.link()), await Window.open(await ledger.link())];
  for (const { page } of [one, two]) {
    await page.goto(`${ledger.base}/secrets/Shared_One/edit`);
  }
  await one.page.fill("#value", "of the first");
  await save(one.page);
  await one.page.waitForSelector("text=Saved Shared_One v2");
  await two.page.fill("#value", "of the second");
  await save(two.page);
  await two.page.waitForSelector("text=/Changed by owner .* \\(v2\\)\\. Nothing was saved\\./");
  assert.equal(await two.page.inputValue("#value"), "of the second", "what was typed stays");
  await two.page.click("text=Review");
  await two.page.waitForSelector(".versions");
  assert.equal(await ledger.ok(["secret", "reveal", "Shared_One"]), "of the first");
  await one.close();
  await two.close();
});

test("the whole journey by keyboard", async () => {
  await ledger.create("BB_Next", "x");
  const window = await Window.open(await ledger.link());
  const { page } = window;
  const press = (keys) => page.keyboard.press(keys);
  const focused = () => page.evaluate(() => document.activeElement.closest("tr")?.dataset.name ?? document.activeElement.id);
  await press("n");
  await page.waitForSelector("dialog.sheet:modal");
  await page.keyboard.type("AA_First");
  await press("Tab");
  await page.keyboard.type(CANARY);
  await press("Tab");
  while ((await page.evaluate(() => document.activeElement.textContent)) !== "Add secret") await press("Tab");
  await press("Enter");
  await page.waitForSelector("#s-AA_First");
  await page.waitForFunction(() => document.activeElement.id === "s-AA_First");
  await press("j");
  assert.notEqual(await focused(), "AA_First");
  await press("k");
  assert.equal(await focused(), "AA_First");
  await press("v");
  await page.waitForSelector("tr.shown pre");
  await press("v");
  await page.waitForSelector("tr.shown", { state: "detached" });
  await press("c");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "AA_First");
  await press("h");
  await page.waitForSelector("dialog.sheet:modal");
  await press("Escape");
  await page.waitForFunction(() => document.activeElement.dataset?.act === "history");
  assert.equal(await focused(), "AA_First", "focus returns to the row");
  await press("e");
  await page.waitForSelector("dialog.sheet:modal");
  await page.keyboard.type("new");
  await press("Escape");
  await page.waitForFunction(() => document.activeElement.dataset?.act === "edit");
  await press("?");
  assert.ok(await page.locator("#help").isVisible());
  await accessible(page, "the keys");
  await press("Escape");
  await press("/");
  await page.keyboard.type("aa_f");
  await press("Enter");
  await page.waitForURL(/q=aa_f/);
  assert.equal(await page.locator("tbody tr").count(), 1);
  const tabTo = async (words) => {
    for (let at = 0; at < 60; at += 1) {
      await press("Tab");
      if ((await page.evaluate(() => document.activeElement.textContent)) === words) return;
    }
    assert.fail(`no Tab leads to ${words}`);
  };
  await press("j");
  await tabTo("⋯");
  await press("Enter");
  await tabTo("Delete…");
  await press("Enter");
  await page.waitForSelector("dialog.sheet:modal");
  assert.equal(await focused(), "confirm");
  await page.keyboard.type("AA_Fir");
  await press("Enter");
  await page.waitForSelector("text=Nothing was deleted");
  await press("Escape");
  await page.waitForFunction(() => document.activeElement.matches("summary"));
  assert.equal(await focused(), "AA_First", "focus returns to the row's menu");
  await press("Enter");
  await tabTo("Delete…");
  await press("Enter");
  await page.waitForSelector("dialog.sheet:modal");
  await page.keyboard.type("AA_First");
  await press("Enter");
  await page.waitForSelector("text=Deleted AA_First");
  assert.equal(await page.locator("#s-AA_First").count(), 0);
  await tabTo("Deleted");
  await press("Enter");
  await page.waitForURL(/show=deleted/);
  await press("j");
  assert.equal(await focused(), "AA_First");
  await tabTo("Restore");
  await press("Enter");
  await page.waitForSelector("text=Restored AA_First");
  await page.waitForFunction(() => document.activeElement.id === "s-AA_First");
  assert.equal(await ledger.ok(["secret", "reveal", "AA_First"]), CANARY);
  window.quiet();
  await window.close();
});

test("without JavaScript everything but copying and hiding works", async () => {
  const window = await Window.open(await ledger.link(), { javaScriptEnabled: false });
  const { page } = window;
  await page.click("text=New secret");
  await page.fill("#name", "Plain_One");
  await page.fill("#value", CANARY);
  await page.click("text=Add secret");
  await page.waitForSelector("#s-Plain_One");
  await page.click("#s-Plain_One >> text=View");
  assert.equal(await page.textContent("pre.shown"), CANARY);
  await page.click("a.main");
  await page.click("#s-Plain_One >> text=Edit");
  await page.check("[name=generate]");
  await page.click("text=Save as v2");
  await page.waitForSelector("text=Saved Plain_One v2");
  assert.match(await ledger.ok(["secret", "reveal", "Plain_One"]), /^[A-Za-z0-9]{32}$/);
  await page.goto(`${ledger.base}/secrets/Plain_One/delete`);
  await page.fill("#confirm", "Plain_One");
  await page.click("dialog >> text=Delete >> nth=-1");
  await page.waitForSelector("text=Deleted Plain_One");
  for (const { url, method, text } of await window.responses()) {
    assert.ok(!text.includes(CANARY) || (method === "POST" && url.endsWith("/view")), `${method} ${url}`);
  }
  await window.close();
});

test("a file is chosen, looked at and imported, and its values are in no page", async () => {
  await ledger.create("Known_One", "before");
  const window = await Window.open(await ledger.link());
  const { page } = window;
  await page.click('text="Import"');
  await accessible(page, "the dialog for an import");
  const choose = async (name, text) => {
    await page.setInputFiles("#file", { name, mimeType: "text/plain", buffer: Buffer.from(text) });
    await page.waitForFunction((text) => document.querySelector("#text").value === text, text);
  };
  await choose("bad.env", `Good_One=x\n9bad=${CANARY}\n`);
  await save(page);
  await page.waitForSelector("text=Line 2:");
  assert.match(await page.inputValue("#text"), /^Good_One=x\n/, "what was chosen stays");
  await choose("some.json", JSON.stringify({ From_File: CANARY, Known_One: `${CANARY}-2` }));
  assert.equal(await page.inputValue("#format"), "json");
  await save(page);
  await page.waitForSelector("table.import");
  await page.waitForSelector("text=1 to create, 1 left out.");
  await accessible(page, "the preview of an import");
  await picture(page, "import");
  await window.nowhere(CANARY);
  await save(page);
  await page.waitForSelector("text=Imported 1 secret ");
  await window.nowhere(CANARY);
  assert.equal(await ledger.ok(["secret", "reveal", "From_File"]), CANARY);
  assert.equal(await ledger.ok(["secret", "reveal", "Known_One"]), "before");
  window.quiet();
  await window.close();
});
