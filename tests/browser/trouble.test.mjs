// Failures: no nats-server, a damaged log.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { CANARY, Ledger, Window, accessible, closeAll, picture } from "./harness.mjs";

after(closeAll);

const NOT_RECORDED = "Not shown: the read could not be recorded.";

test("what cannot be recorded is not shown", async () => {
  const ledger = await Ledger.start();
  await ledger.create("API_Key", CANARY);
  const own = await ledger.console();
  const window = await Window.open(own.info.console_url);
  const { page } = window;
  const entries = (await ledger.audit()).length;
  // nats-server dies with its parent.
  await ledger.dev.stop("SIGKILL");
  await page.click("#s-API_Key [data-act=view]");
  await page.waitForSelector("tr.refused", { timeout: 30_000 });
  assert.equal(await page.textContent("tr.refused"), NOT_RECORDED);
  assert.equal(await page.locator("tr.shown pre").count(), 0);
  await accessible(page, "a refused view");
  await picture(page, "refused");
  for (const { url, text } of await window.responses()) assert.ok(!text.includes(CANARY), url);
  await page.goto(`${new URL(own.info.console_url).origin}/w/demo/secrets`);
  await page.waitForSelector("text=The ledger cannot be reached");
  await accessible(page, "a ledger out of reach");
  await window.close();
  await own.stop();
  await ledger.up();
  assert.equal((await ledger.audit()).length, entries, "there is no entry");
  await ledger.down();
});

test("a frozen nats-server shows nothing", async () => {
  const ledger = await Ledger.start();
  await ledger.create("API_Key", CANARY);
  const window = await Window.open(ledger.dev.info.console_url);
  const nats = ledger.nats();
  process.kill(nats, "SIGSTOP");
  try {
    await window.page.click("#s-API_Key [data-act=view]");
    await window.page.waitForSelector("tr.refused", { timeout: 30_000 });
    assert.equal(await window.page.textContent("tr.refused"), NOT_RECORDED);
    await window.page.reload();
    await window.page.waitForSelector("text=The ledger cannot be reached");
    await accessible(window.page, "a ledger that does not answer");
    await picture(window.page, "offline");
  } finally {
    process.kill(nats, "SIGCONT");
  }
  // The page reloads without a button.
  await window.page.waitForSelector("#s-API_Key");
  for (const { url, text } of await window.responses()) assert.ok(!text.includes(CANARY), url);
  await window.close();
  await ledger.down();
});

test("a ledger that is behind its log says so, and not that it is away", async (context) => {
  const ledger = await Ledger.startBreakable();
  if (!ledger) return context.skip("fsync cannot be made to fail here");
  await ledger.create("API_Key", CANARY);
  const window = await Window.open(ledger.dev.info.console_url);
  const { page } = window;
  await page.waitForSelector("#s-API_Key");
  ledger.breakDisk();
  // The entry is logged, and the read model's disk then refuses it.
  const late = await ledger.run(["secret", "create", "Late_One", "--stdin"], CANARY);
  const behind = page.locator("text=The ledger is catching up");
  for (let at = 0; at < 200 && !(await behind.count()); at += 1) {
    await page.waitForTimeout(100);
    await page.reload();
    assert.equal(await page.locator("text=cannot be reached").count(), 0);
  }
  assert.ok(await behind.isVisible());
  await page.waitForSelector("text=Nothing is lost: try again in a moment.");
  await accessible(page, "a ledger that is behind");
  await picture(page, "behind");
  ledger.mendDisk();
  // The page reloads without a button.
  await page.waitForSelector("#s-API_Key", { timeout: 60_000 });
  assert.equal(await page.locator("#s-Late_One").count(), late.code === 0 ? 1 : 0, late.stderr);
  for (const { url, text } of await window.responses()) assert.ok(!text.includes(CANARY), url);
  await window.close();
  await ledger.down();
});

test("a tampered log shows Failed and turns writes off", async () => {
  const ledger = await Ledger.start();
  for (const number of [0, 1, 2, 3, 4, 5]) await ledger.create(`S${number}`, CANARY);
  await ledger.dev.stop();
  const [account] = readdirSync(join(ledger.home, "jetstream"));
  const block = join(ledger.home, "jetstream", account, "streams/KEYROLL_LOG/msgs/1.blk");
  const bytes = readFileSync(block);
  bytes[bytes.length - 100] ^= 0x10;
  writeFileSync(block, bytes);
  await ledger.up();
  const window = await Window.open(ledger.dev.info.console_url);
  const { page } = window;
  await page.waitForSelector('#chip[data-state="failed"]', { timeout: 30_000 });
  await page.waitForSelector("text=The log does not verify");
  assert.ok(await page.locator("#s-S0 [data-act=view]").isDisabled());
  for (const off of ["#s-S0 [data-act=edit]", "[data-key=n]"]) assert.equal(await page.locator(off).getAttribute("href"), null, off);
  await accessible(page, "a log that does not verify");
  await picture(page, "failed");
  const refused = await page.evaluate(async () => {
    const answer = await fetch("/w/demo/secrets/S0/view", { method: "POST", headers: { accept: "application/json" } });
    return { status: answer.status, text: await answer.text() };
  });
  assert.equal(refused.status, 409);
  assert.ok(!refused.text.includes(CANARY));
  await window.close();
  await ledger.down();
});
