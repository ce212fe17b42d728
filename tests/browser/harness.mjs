// A private ledger, a browser, and the output of both. Everything here is real: the built program, nats-server,
// Chromium.

import assert from "node:assert/strict";
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const need = (name) => {
  assert.ok(process.env[name], `${name} is not set: run these tests with \`just test-browser\``);
  return process.env[name];
};
const keyrollBin = need("KEYROLL_BIN");
const require = createRequire(join(need("KEYROLL_BROWSER_TOOLS"), "package.json"));
const { chromium } = require("playwright-core");
export const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// No response except a reveal's may hold this.
export const CANARY = "canary-7f3a9c51-value";

let browser;
const ledgers = new Set();

// Closes everything that is left, after failed tests too.
export async function closeAll() {
  for (const ledger of ledgers) await ledger.down();
  await browser?.close();
}

async function theBrowser() {
  // Chromium has no sandbox for root, and a container often has no other user.
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  browser ??= await chromium.launch({ executablePath: need("KEYROLL_CHROMIUM"), args });
  return browser;
}

const firstLine = (child) =>
  new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (data) => {
      text += data;
      if (text.includes("\n")) resolve(JSON.parse(text.slice(0, text.indexOf("\n"))));
    });
    child.on("exit", (code) => reject(new Error(`ended with ${code} before it was ready`)));
  });

const environment = (home) => ({
  PATH: process.env.PATH,
  HOME: "/nonexistent",
  KEYROLL_NATS_BIN: need("KEYROLL_NATS_BIN"),
  ...(home ? { KEYROLL_HOME: home } : {}),
});

// A program that prints one line of JSON when it is ready.
class Running {
  constructor(words, home, [program, ...before] = [keyrollBin]) {
    this.child = spawn(program, [...before, ...words], { env: environment(home), stdio: ["ignore", "pipe", "pipe"] });
    this.said = "";
    this.child.stderr.on("data", (data) => (this.said += data));
    this.gone = new Promise((resolve) => this.child.on("exit", resolve));
  }
  async ready() {
    this.info = await firstLine(this.child);
    return this;
  }
  async stop(signal = "SIGTERM") {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    await this.gone;
  }
}

export class Ledger {
  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "keyroll-browser-"));
    this.home = join(this.dir, "home");
    ledgers.add(this);
  }
  static async start() {
    return new Ledger().up();
  }
  // A ledger whose read model can be kept from reaching the disk; null where the machine does not allow that.
  static async startBreakable() {
    // The interpreter itself: `python3` may be a script that needs more of a home.
    const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
    const failing = [python, fileURLToPath(new URL("../tools/failing_sync.py", import.meta.url))];
    if (spawnSync(failing[0], [failing[1], "/nonexistent", "true"]).status !== 0) return null;
    const ledger = new Ledger();
    ledger.broken = join(ledger.dir, "broken");
    ledger.through = [...failing, ledger.broken, keyrollBin];
    return ledger.up();
  }
  breakDisk() {
    // In one step: an empty file would stand for all files, including the log's.
    writeFileSync(`${this.broken}.new`, "ledger.redb");
    renameSync(`${this.broken}.new`, this.broken);
  }
  mendDisk() {
    rmSync(this.broken);
  }
  async up() {
    this.dev = await new Running(["dev", "--json", "--no-open", "--data-dir", this.home], undefined, this.through).ready();
    this.url = new URL(this.dev.info.console_url).origin;
    this.base = `${this.url}/w/demo`;
    return this;
  }
  // A log as a busy month would have made it, in its own workspace.
  async fill() {
    await this.dev.stop();
    await new Promise((resolve, reject) => execFile(need("KEYROLL_BENCH"), ["fill", this.home], { env: { ...environment(), KEYROLL_BIN: keyrollBin } }, (error, _, stderr) =>
      (error ? reject(new Error(stderr)) : resolve())));
    await this.up();
  }
  // A person's own console beside it.
  async console() {
    this.own = await new Running(["console", "--json"], this.home).ready();
    return this.own;
  }
  run(words, input, home = this.home) {
    return new Promise((resolve) => {
      const child = execFile(keyrollBin, words, { env: environment(home) }, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, stdout, stderr }));
      // A program may end without reading it.
      child.stdin.on("error", (error) => assert.equal(error.code, "EPIPE"));
      child.stdin.end(input ?? "");
    });
  }
  async ok(words, input, home) {
    const ran = await this.run(words, input, home);
    assert.equal(ran.code, 0, `${words.join(" ")}: ${ran.stderr}`);
    return ran.stdout;
  }
  create(name, value, ...more) {
    return this.ok(["secret", "create", name, "--stdin", ...more], value);
  }
  async audit(...filter) {
    const lines = await this.ok(["audit", "log", "--json", ...filter]);
    return lines.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }
  // Another person with a home and an identity, who is no member.
  async stranger(name) {
    const home = join(this.dir, name);
    mkdirSync(home);
    const key = (await this.ok(["identity", "new"], "", home)).split(/\s/)[0];
    return { name, home, key };
  }
  async member(name, role, secrets = "*") {
    const person = await this.stranger(name);
    await this.ok(["member", "add", name, person.key, "--role", role, "--secrets", secrets]);
    return person;
  }
  async login(person, ...more) {
    const words = ["console", "login", this.url, "--json", "--nats", this.dev.info.nats_url, "--nats-creds", this.dev.info.nats_creds, "-w", "demo", ...more];
    return JSON.parse(await this.ok(words, "", person.home)).url;
  }
  async link() {
    const url = await this.ok(["console", "login", this.url, "--json"]);
    return JSON.parse(url).url;
  }
  // nats-server, the direct child.
  nats() {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "utf8") : "";
      const [, name, parent] = /\((.*)\) \S (\d+)/.exec(stat) ?? [];
      if (name === "nats-server" && Number(parent) === this.dev.child.pid) return Number(pid);
    }
    throw new Error("no nats-server");
  }
  async down() {
    ledgers.delete(this);
    await this.own?.stop();
    await this.dev?.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

// A window, with all its responses and all messages of its console and its policy.
export class Window {
  static async open(link, options = {}) {
    const window = new Window();
    window.context = await (await theBrowser()).newContext({
      viewport: { width: 1180, height: 720 },
      reducedMotion: "reduce",
      permissions: options.javaScriptEnabled === false ? [] : ["clipboard-read", "clipboard-write"],
      ...options,
    });
    window.page = await window.context.newPage();
    window.said = [];
    window.bodies = [];
    // Violations of the policy are reported to the page's code, and from there to this test.
    await window.page.exposeFunction("toldOfViolation", (words) => window.said.push(words));
    await window.page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => globalThis.toldOfViolation(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    window.page.on("console", (message) => window.said.push(message.text()));
    window.page.on("pageerror", (error) => window.said.push(String(error)));
    window.context.on("response", (response) => {
      // A redirect has no body, and one that its page no longer waits for may never end.
      window.bodies.push(Promise.race([response.text().catch(() => ""), new Promise((resolve) => setTimeout(resolve, 3_000, "").unref())]).then((text) => ({ url: response.url(), method: response.request().method(), text })));
    });
    if (link) {
      await window.page.goto(link);
      if (options.javaScriptEnabled === false) await window.page.click("button");
      await window.page.waitForURL(/\/secrets/);
    }
    return window;
  }
  async responses() {
    return Promise.all(this.bodies);
  }
  // Searches everything but reveals for a value.
  async nowhere(value) {
    for (const body of await this.responses()) {
      const reveal = body.method === "POST" && body.url.endsWith("/view");
      if (!reveal) assert.ok(!body.text.includes(value), `${body.method} ${body.url} holds the value`);
      assert.ok(!body.url.includes(value), `${body.url} holds the value`);
    }
    assert.ok(!this.said.join("\n").includes(value), "the browser's console holds the value");
    const kept = await this.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state]));
    assert.ok(!kept.includes(value), `storage holds the value: ${kept}`);
    assert.ok(!(await this.page.content()).includes(value), "the page holds the value");
  }
  quiet() {
    // This also lists the refusals that a test asked for.
    const said = this.said.filter((words) => !words.startsWith("Failed to load resource"));
    assert.deepEqual(said, [], "nothing is to be said on the browser's console, CSP reports included");
  }
  async close() {
    await this.context.close();
  }
}

// Checks WCAG and best practices with axe, in both themes.
export async function accessible(page, what, themes = ["dark", "light"]) {
  // Uses the debugger: the page's policy lets no script in.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axeSource });
  for (const colorScheme of themes) {
    await page.emulateMedia({ colorScheme });
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
      expression: "axe.run(document).then((found) => JSON.stringify(found.violations.map((one) => [one.id, one.nodes.map((node) => node.target.join(' ') + ' ' + node.failureSummary)])))",
      awaitPromise: true,
    });
    assert.ok(!exceptionDetails, JSON.stringify(exceptionDetails));
    assert.deepEqual(JSON.parse(result.value), [], `axe finds something on ${what}, ${colorScheme}`);
  }
  await session.detach();
}

// Nothing overflows the window at the side.
export async function fits(page, what) {
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${what} is ${wide} wide in a window of ${window}`);
}

const pictures = process.env.KEYROLL_SCREENSHOTS;
export async function picture(page, name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(pictures, `${name}-${colorScheme}.png`), caret: "hide" });
  }
  await page.emulateMedia({ colorScheme: "light" });
}
