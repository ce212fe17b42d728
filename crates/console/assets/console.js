// What a page cannot do by itself: show a value and hide it again, copy a name, keep a dialog's
// text when something stands in its way, and keys. Text goes into the page as text only.

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

// Without a session there is nothing more to see here; but nobody's text is thrown away for that.
function signedOut() {
  away();
  if (!sheet) location.reload();
}

// Values: one at a time, for half a minute at most, gone as soon as nobody looks.

let shown = null;

function hide() {
  if (!shown) return;
  clearInterval(shown.timer);
  // Out of the page before the row goes: nothing that still holds the row holds the value.
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
  // Who went elsewhere while it was on its way does not see it any more.
  if (look === looks && !document.hidden) show(form, answer.body);
}

const away = () => { looks += 1; hide(); };
addEventListener("blur", away);
addEventListener("pagehide", away);
document.addEventListener("visibilitychange", () => document.hidden && away());

// Forms: what stands in the way is said where the text still stands.

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
      // To another row of this page that is no navigation. Never twice: words are said once.
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

// A value generated here is as good as the browser's own randomness.

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

// Whether a line break at the end belongs to a value is asked where there is one.

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

// A file goes into the text field, where one can see it; it is sent from there like what is typed.

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

// Copying names and keys. Never values.

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

// Dialogs are pages; here they become modal, and closing one goes back to the control it came from.

const CAME_FROM = "keyroll-came-from";

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-act]");
  const name = link?.closest("tr")?.dataset.name;
  if (name) sessionStorage.setItem(CAME_FROM, `${name} ${link.dataset.act}`);
});

const sheet = one("dialog.sheet");
if (sheet) {
  // As it came it is open beside the page; `close()` would count as somebody's wish.
  sheet.removeAttribute("open");
  sheet.showModal();
  const first = one("[autofocus], textarea", sheet) ?? one("h2", sheet);
  first.focus();
  // Not `cancel`: a browser skips that where nobody has touched the page yet.
  sheet.addEventListener("close", () => location.assign(sheet.dataset.back));
} else {
  const [name, act] = (sessionStorage.getItem(CAME_FROM) ?? "").split(" ");
  sessionStorage.removeItem(CAME_FROM);
  const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  const control = target && target.dataset.name === name ? one(`[data-act="${CSS.escape(act)}"]`, target) : null;
  const menu = control?.closest("details");
  // After the browser's own turn: it moves the focus to what the address names.
  addEventListener("load", () => setTimeout(() => (menu ? one("summary", menu) : control ?? target)?.focus()));
}

// What cannot be reached now may be there in a moment.

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

// Keys.

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

// The chip.

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
    // What is the same is not set: whoever has it read aloud hears it once.
    if (words.textContent !== now.words) words.textContent = now.words;
    one(".when", chip).textContent = now.when;
    chip.title = now.detail;
    chip.dataset.state = now.state;
    const checked = one("#checked");
    if (checked) checked.textContent = now.detail;
    one("use", chip).setAttribute("href", { verified: "#i-check", failed: "#i-alert" }[now.state] ?? "#i-clock");
    // The controls change with it; but nobody's text is thrown away for that.
    if ((was === "failed") !== (now.state === "failed") && !sheet) location.reload();
  } catch {
    offline(true);
  }
}

if (chip) {
  const again = () => setTimeout(async () => { await look(); again(); }, chip.dataset.state === "verifying" ? 500 : 20_000);
  again();
}
