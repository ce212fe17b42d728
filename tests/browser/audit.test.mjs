// The Audit log tab: verification, and export.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { CANARY, Ledger, Window, closeAll } from "./harness.mjs";

let ledger;
before(async () => {
  ledger = await Ledger.start();
  await ledger.create("API_Key", CANARY);
  await ledger.create("Other_Key", CANARY);
  await ledger.ok(["secret", "reveal", "API_Key", "--reason", "because of “that”"]);
  const viewer = await ledger.member("vera", "viewer");
  const refused = await ledger.run(["secret", "reveal", "API_Key", "--nats", ledger.dev.info.nats_url, "--nats-creds", ledger.dev.info.nats_creds, "-w", "demo"], "", viewer.home);
  assert.equal(refused.code, 4, refused.stderr);
});
after(closeAll);

test("Verify now checks the log again, and the chip says how far", async () => {
  const window = await Window.open(await ledger.link());
  const { page } = window;
  const last = Math.max(...(await ledger.audit()).map(({ index }) => index));
  await page.goto(`${ledger.base}/audit`);
  const verified = `#chip[data-state="verified"] >> text="Verified to #${last}"`;
  await page.waitForSelector(verified, { timeout: 30_000 });
  const checked = () => page.textContent("#checked");
  const before = await checked();
  assert.match(before, new RegExp(`signature.* up to #${last}, at .*UTC`));
  // There is no new entry, so only the button verifies again, at another second.
  await page.reload();
  await page.waitForTimeout(1_100);
  assert.equal(await checked(), before);
  await page.click("text=Verify now");
  await page.waitForFunction((before) => {
    const now = document.querySelector("#checked")?.textContent ?? before;
    return now !== before && now.includes("up to #");
  }, before, { timeout: 30_000 });
  await page.waitForSelector(verified);
  assert.equal(new URL(page.url()).pathname, "/w/demo/audit");
  window.quiet();
  await window.close();
});

test("Export gives the rows that fit the filter, as the program prints them", async () => {
  const window = await Window.open(await ledger.link());
  const { page } = window;
  const exported = async (query) => {
    await page.goto(`${ledger.base}/audit${query}`);
    await page.waitForSelector("table.audit");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("text=Export")]);
    assert.equal(download.suggestedFilename(), "keyroll-demo-audit.jsonl");
    const text = readFileSync(await download.path(), "utf8");
    assert.ok(!text.includes(CANARY));
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  };
  for (const [query, filter, least] of [
    ["", [], 6],
    ["?outcome=denied", ["--outcome", "denied"], 1],
    ["?secret=API_Key&action=secret.revealed", ["--secret", "API_Key", "--action", "secret.revealed"], 1],
    // A page has a first row; a file begins at the newest row all the same.
    ["?before=3", [], 6],
  ]) {
    const rows = await exported(query);
    const printed = await ledger.audit(...filter);
    assert.ok(rows.length >= least, `${query}: ${rows.length} rows`);
    const sorted = (some) => [...some].sort((one, other) => one.index - other.index);
    assert.deepEqual(sorted(rows), sorted(printed), query);
    assert.ok(rows[0].index >= rows.at(-1).index, "the newest first");
  }
  window.quiet();
  await window.close();
});
