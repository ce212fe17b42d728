// Ten thousand secrets and a hundred thousand entries.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Ledger, Window, closeAll } from "./harness.mjs";

after(closeAll);

// Including styles, module and icon.
const PAGE_BYTES = 150 * 1024;

test("a long log and many secrets page quickly, and nothing moves", async (context) => {
  const ledger = await Ledger.start();
  const begun = performance.now();
  await ledger.fill();
  context.diagnostic(`filled and ready after ${Math.round(performance.now() - begun)} ms`);
  const window = await Window.open(ledger.dev.info.console_url);
  const { page } = window;
  await page.addInitScript(() => {
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.shifts.push([entry.value, entry.sources.map((source) => source.node?.outerHTML?.slice(0, 80))]);
    }).observe({ type: "layout-shift", buffered: true });
  });
  for (const path of ["secrets", "secrets?q=Secret_9999", "secrets/Secret_7/history", "new", "import", "audit", "audit?action=secret.edited", "audit/99999", "members"]) {
    let bytes = 0;
    const count = (response) => {
      // The result of a verification that arrives while a page is open is not part of the page.
      if (!response.url().endsWith("/verification")) bytes += Number(response.headers()["content-length"]);
    };
    page.on("response", count);
    const begun = performance.now();
    await page.goto(`${ledger.url}/w/archive/${path}`);
    const took = performance.now() - begun;
    // Longer than the chip takes to check again.
    await page.waitForTimeout(1_200);
    page.off("response", count);
    assert.ok(bytes < PAGE_BYTES, `${path} has ${bytes} bytes`);
    assert.deepEqual(await page.evaluate(() => globalThis.shifts), [], `${path} moves`);
    context.diagnostic(`/${path}: ${bytes} bytes, there after ${Math.round(took)} ms`);
  }
  // Page by page, by cursor, and each row once.
  const seen = new Set();
  await page.goto(`${ledger.url}/w/archive/secrets`);
  for (let at = 0; at < 4; at += 1) {
    const names = await page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.dataset.name));
    assert.equal(names.length, 50);
    for (const name of names) assert.ok(!seen.has(name), `${name} twice`);
    names.forEach((name) => seen.add(name));
    await page.click("text=Next page");
    await page.waitForURL((url) => url.searchParams.has("after") && !seen.has(url.href));
    seen.add(page.url());
  }
  // The first thousand were read all the time; the others were never read since they were made, months ago.
  const names = () => page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.dataset.name));
  await page.goto(`${ledger.url}/w/archive/secrets`);
  assert.ok((await names()).includes("Secret_10"));
  assert.equal(await page.locator("#s-Secret_10 [data-flag=unused]").count(), 0);
  await page.click(".filters >> text=Unused");
  await page.waitForURL(/show=unused/);
  const unused = await names();
  assert.equal(unused.length, 50);
  for (const name of unused) assert.ok(Number(name.slice("Secret_".length)) >= 1_000, `${name} is used`);
  assert.equal(await page.locator("tbody [data-flag=unused]").count(), 50);
  await page.fill("#q", "Secret_999");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=Secret_999/);
  assert.deepEqual(await names(), Array.from({ length: 10 }, (_, at) => `Secret_999${at}`), "searched within the filter");
  // A dialog over a search does not search again; when closed, it leads back to all results.
  await page.goto(`${ledger.url}/w/archive/secrets?q=Secret_99`);
  assert.equal((await names()).length, 50);
  for (const act of ["edit", "history", "details", "delete"]) {
    await page.evaluate((act) => document.querySelector(`#s-Secret_991 [data-act=${act}]`).click(), act);
    await page.waitForSelector("dialog.sheet:modal >> text=Secret_991");
    assert.deepEqual(await names(), ["Secret_991"], `behind ${act}`);
    await page.keyboard.press("Escape");
    await page.waitForURL(/q=Secret_99#s-Secret_991$/);
    assert.equal((await names()).length, 50, `after ${act}`);
  }
  await page.goto(`${ledger.url}/w/archive/audit?secret=Secret_0`);
  const first = await page.locator("tbody tr th").first().textContent();
  await page.click("text=Older");
  await page.waitForURL(/before=/);
  const older = await page.locator("tbody tr th").first().textContent();
  assert.ok(Number(older.slice(1)) < Number(first.slice(1)), `${older} is not before ${first}`);
  assert.match(page.url(), /secret=Secret_0/, "the filter stays in the address");
  await page.waitForSelector('#chip[data-state="verified"]', { timeout: 300_000 });
  assert.equal(await page.textContent("#chip .words"), "Verified to #99999");
  window.quiet();
  await window.close();
  await ledger.down();
});
