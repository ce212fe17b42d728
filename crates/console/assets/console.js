// Enhancements of the pages: show a value and hide it again, copy a name, keep a dialog's text when its
// form fails, and keyboard shortcuts. Text is added to the page as text only, never as markup.

const HIDE_AFTER = 30;
const root = document.documentElement;
root.classList.add("js");

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

async function ask(form) {
  const response = await fetch(form.action, {
    method: "POST",
    headers: { accept: "application/json" },
    body: new URLSearchParams(new FormData(form)),
    redirect: "error",
  });
  offline(false);
  return { ok: response.ok, status: response.status, body: await response.json() };
}

function offline(is) {
  one("#offline")?.toggleAttribute("hidden", !is);
}

// Without a session the page is reloaded, unless a dialog holds text that the person typed.
function signedOut() {
  away();
  if (!sheet) location.reload();
}

// Values: one at a time, for at most half a minute, hidden when the window loses focus.

let shown = null;

function hide() {
  if (!shown) return;
  clearInterval(shown.timer);
  // The text is cleared before the row is removed: no other reference to the row may hold the value.
  shown.text.textContent = "";
  shown.row.remove();
  shown.button.textContent = "View";
  shown.button.setAttribute("aria-pressed", "false");
  shown.button.setAttribute("aria-label", `View ${shown.name}`);
  shown = null;
}

function show(form, answer) {
  const button = one("button", form);
  const above = form.closest("tr");
  const name = above.dataset.name;
  const row = document.createElement("tr");
  row.className = "shown";
  const cell = row.appendChild(document.createElement("td"));
  cell.colSpan = above.cells.length;
  for (const words of answer.warnings) {
    const warning = cell.appendChild(document.createElement("p"));
    warning.className = "error";
    warning.setAttribute("role", "alert");
    warning.textContent = words;
  }
  const text = cell.appendChild(document.createElement("pre"));
  text.tabIndex = 0;
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", `Value of ${name}`);
  text.textContent = answer.value;
  const note = cell.appendChild(document.createElement("p"));
  note.className = "note";
  note.textContent = `${answer.base64 ? "Not UTF-8 text: shown as base64. " : ""}v${answer.version}. This read is entry ${answer.index} of the audit log.`;
  above.after(row);
  let left = HIDE_AFTER;
  button.textContent = `Hide (${left} s)`;
  button.setAttribute("aria-pressed", "true");
  button.setAttribute("aria-label", `Hide ${name}`);
  const timer = setInterval(() => {
    left -= 1;
    if (left <= 0) hide();
    else button.textContent = `Hide (${left} s)`;
  }, 1000);
  shown = { row, text, button, name, timer, form };
}

function notShown(form, words) {
  const above = form.closest("tr");
  const row = document.createElement("tr");
  row.className = "shown refused";
  const cell = row.appendChild(document.createElement("td"));
  cell.colSpan = above.cells.length;
  const note = cell.appendChild(document.createElement("p"));
  note.className = "error";
  note.setAttribute("role", "alert");
  above.after(row);
  note.textContent = words;
}

let looks = 0;

async function view(form) {
  const button = one("button", form);
  if (button.getAttribute("aria-busy") === "true") return;
  const mine = shown?.form === form;
  hide();
  all("tr.refused").forEach((row) => row.remove());
  if (mine) return;
  const look = ++looks;
  button.setAttribute("aria-busy", "true");
  button.textContent = "Recording…";
  let answer;
  try {
    answer = await ask(form);
  } catch {
    offline(true);
    answer = { ok: false, body: { error: { message: "Not shown: the console does not answer." } } };
  }
  button.removeAttribute("aria-busy");
  button.textContent = "View";
  if (answer.status === 401) return signedOut();
  if (!answer.ok) return notShown(form, answer.body.error.message);
  // If the person left the page during the request, the value is not shown.
  if (look === looks && !document.hidden) show(form, answer.body);
}

const away = () => { looks += 1; hide(); };
addEventListener("blur", away);
addEventListener("pagehide", away);
document.addEventListener("visibilitychange", () => document.hidden && away());

// Forms: errors appear in the form, which keeps its text.

async function send(form) {
  const button = one("button[type=submit]", form);
  const error = one(".error", form) ?? form.parentElement.appendChild(Object.assign(document.createElement("p"), { className: "error" }));
  error.setAttribute("role", "alert");
  error.textContent = "";
  const label = button.textContent;
  button.disabled = true;
  button.textContent = "Recording…";
  try {
    const answer = await ask(form);
    if (answer.ok) {
      form.reset();
      const here = location.pathname + location.search;
      const [path, row] = answer.body.href.split("#");
      location.assign(answer.body.href);
      // A link to another row of this page is no navigation, so it reloads. It does so once: flash
      // messages appear only once.
      if (row && path === here) location.reload();
      return;
    }
    const { message, see } = answer.body.error;
    error.textContent = `${message} `;
    if (see) error.appendChild(Object.assign(document.createElement("a"), { href: see.href, textContent: see.words }));
  } catch {
    offline(true);
    error.textContent = "Not sent: the console does not answer. Your text is still here; try again.";
  }
  button.disabled = false;
  button.textContent = label;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.classList.contains("reveal")) {
    event.preventDefault();
    view(form);
    return;
  }
  if (form.hasAttribute("data-plain") || form.hasAttribute("data-auto")) return;
  event.preventDefault();
  const sure = one("[data-sure]", form);
  if (sure && sure.textContent !== sure.dataset.sure) {
    sure.dataset.was = sure.textContent;
    sure.textContent = sure.dataset.sure;
    sure.classList.add("danger");
    sure.addEventListener("blur", () => { sure.textContent = sure.dataset.was; sure.classList.remove("danger"); }, { once: true });
    return;
  }
  send(form);
});

all("form[data-auto]").forEach((form) => form.requestSubmit());

// Generated values use the browser's cryptographic randomness.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function generated(length) {
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(64))) {
      // Below the largest multiple of 62, so that every letter is as likely as the others.
      if (byte < 248 && text.length < length) text += ALPHABET[byte % 62];
    }
  }
  return text;
}

// The question about a line break at the end of a value appears only when there is one.

all("textarea[name=value]").forEach((field) => {
  const asked = one(".newline", field.form);
  const look = () => asked.toggleAttribute("data-asked", field.value.endsWith("\n"));
  field.addEventListener("input", look);
  look();
});

all("button.generate").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => {
    const field = one("#value");
    field.value = generated(Number(field.dataset.generated));
    field.dispatchEvent(new Event("input"));
    field.focus();
  });
});

// A chosen file is read into the text field, where it is visible, and sent like typed text.

all("input[type=file][data-into]").forEach((input) => {
  const form = input.form;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    const error = one(".error", form);
    error.textContent = "";
    if (!file) return;
    if (file.size > Number(input.dataset.most)) {
      error.textContent = "The file has more than a megabyte: use `keyroll import`.";
      return;
    }
    try {
      one(input.dataset.into).value = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      error.textContent = "The file is no UTF-8 text.";
      return;
    }
    const format = /\.json$/i.test(file.name) ? "json" : /\.ya?ml$/i.test(file.name) ? "yaml" : "dotenv";
    one("[name=format]", form).value = format;
  });
});

// Copying names and keys, never values.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const label = button.getAttribute("aria-label");
  if ("done" in button.dataset) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.setAttribute("aria-label", "Copied");
  } catch {
    button.setAttribute("aria-label", "Not copied: the browser does not allow it");
  }
  button.dataset.done = button.getAttribute("aria-label") === "Copied" ? "yes" : "no";
  one("use", button).setAttribute("href", button.dataset.done === "yes" ? "#i-tick" : "#i-alert");
  setTimeout(() => {
    delete button.dataset.done;
    button.setAttribute("aria-label", label);
    one("use", button).setAttribute("href", "#i-copy");
  }, 1500);
});

// Dialogs are pages. Here they become modal, and closing one returns to the control that opened it.

const CAME_FROM = "keyroll-came-from";

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-act]");
  const name = link?.closest("tr")?.dataset.name;
  if (name) sessionStorage.setItem(CAME_FROM, `${name} ${link.dataset.act}`);
});

const sheet = one("dialog.sheet");
if (sheet) {
  // The server sends it open but not modal. `close()` would count as the person's action.
  sheet.removeAttribute("open");
  sheet.showModal();
  const first = one("[autofocus], textarea", sheet) ?? one("h2", sheet);
  first.focus();
  // Not `cancel`: browsers skip that event before the first interaction with the page.
  sheet.addEventListener("close", () => location.assign(sheet.dataset.back));
} else {
  const [name, act] = (sessionStorage.getItem(CAME_FROM) ?? "").split(" ");
  sessionStorage.removeItem(CAME_FROM);
  const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  const control = target && target.dataset.name === name ? one(`[data-act="${CSS.escape(act)}"]`, target) : null;
  const menu = control?.closest("details");
  // After the browser has moved the focus to the element in the address.
  addEventListener("load", () => setTimeout(() => (menu ? one("summary", menu) : control ?? target)?.focus()));
}

// Retries a page that failed because the ledger did not answer.

if (one("[data-retry]")) {
  const again = async () => {
    const response = await fetch(location.href, { headers: { accept: "application/json" } }).catch(() => null);
    if (response && response.status !== 503) location.reload();
    else setTimeout(again, 3_000);
  };
  setTimeout(again, 3_000);
}

document.addEventListener("click", (event) => {
  all("details.menu[open]").forEach((menu) => menu.contains(event.target) || menu.removeAttribute("open"));
});

// Keyboard shortcuts.

const rows = () => all("tbody tr[tabindex]");
const here = () => document.activeElement?.closest("tr[tabindex]");

function move(step) {
  const list = rows();
  const at = list.indexOf(here());
  const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(Math.max(at + step, 0), list.length - 1);
  list[next]?.focus();
}

all("[data-help]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => {
    button.closest("details").removeAttribute("open");
    one("#help").showModal();
  });
});

const inRow = (selector) => () => { const row = here(); if (row) one(selector, row)?.click(); };
const keys = {
  "/": () => one('[data-key="/"]')?.focus(),
  "?": () => one("#help")?.showModal(),
  n: () => one('[data-key="n"]')?.click(),
  j: () => move(1),
  k: () => move(-1),
  v: inRow('[data-act="view"]'),
  c: inRow("button.copy"),
  e: inRow('[data-act="edit"]'),
  h: inRow('[data-act="history"]'),
  Enter: inRow("[data-open]"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    const menu = one("details.menu[open]");
    if (menu) {
      menu.removeAttribute("open");
      one("summary", menu).focus();
    } else if (shown) {
      hide();
    }
    return;
  }
  if (one("dialog:modal") || event.target.closest("input, textarea, select")) return;
  if (event.key === "Enter" && !event.target.matches("tr")) return;
  if (Object.hasOwn(keys, event.key)) {
    event.preventDefault();
    keys[event.key]();
  }
});

// The badge of verification.

const chip = one("#chip");

async function look() {
  if (!chip || document.hidden) return;
  try {
    const response = await fetch(chip.dataset.from, { headers: { accept: "application/json" } });
    offline(false);
    if (response.status === 401) return signedOut();
    if (!response.ok) return;
    const now = await response.json();
    const was = chip.dataset.state;
    const words = one(".words", chip);
    // Unchanged text is not set again, so that screen readers announce it once.
    if (words.textContent !== now.words) words.textContent = now.words;
    one(".when", chip).textContent = now.when;
    chip.title = now.detail;
    chip.dataset.state = now.state;
    const checked = one("#checked");
    if (checked) checked.textContent = now.detail;
    one("use", chip).setAttribute("href", { verified: "#i-check", failed: "#i-alert" }[now.state] ?? "#i-clock");
    // The controls depend on it, so the page is reloaded, unless a dialog holds typed text.
    if ((was === "failed") !== (now.state === "failed") && !sheet) location.reload();
  } catch {
    offline(true);
  }
}

if (chip) {
  const again = () => setTimeout(async () => { await look(); again(); }, chip.dataset.state === "verifying" ? 500 : 20_000);
  again();
}
