// The host page's buttons. Gradio has no buttons inside HTML: a click on [data-do] becomes a
// message in a hidden text field, which Gradio sends to the server: that of the rooms, or the one
// that data-field names.

let count = 0;
let focused = "";

function tell(button) {
  const { do: action, room = "", member = "", field: id = "bf-action" } = button.dataset;
  const field = document.querySelector(`#${id} textarea, #${id} input`);
  if (!field) return;
  count += 1; // the same message twice is two events
  field.value = JSON.stringify({ do: action, room, member, n: count });
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function make(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

/** Asks a question in a dialog; calls `then` if the answer is yes. */
function ask(question, detail, yes, then) {
  const dialog = document.createElement("dialog");
  dialog.className = "bf-dialog";
  dialog.setAttribute("aria-labelledby", "bf-question");
  const title = make("h2", question);
  title.id = "bf-question";
  title.dir = "auto";
  const row = make("div", "", "bf-actions");
  const no = make("button", "Cancel", "bf-button");
  const go = make("button", yes, "bf-button bf-danger-solid");
  for (const button of [no, go]) button.type = "button";
  no.addEventListener("click", () => dialog.close());
  go.addEventListener("click", () => {
    dialog.close();
    then();
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  row.append(no, go);
  dialog.append(title, make("p", detail), row);
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
}

async function copy(button) {
  const text = button.dataset.copy;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyByHand(text);
  }
  const before = button.textContent;
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (button.textContent = before), 2000);
}

/** Without https there is no clipboard: select the link, and copy it the old way. */
function copyByHand(text) {
  const shown = [...document.querySelectorAll(".bf-link")].find((e) => e.textContent === text);
  if (!shown) return false;
  getSelection().selectAllChildren(shown);
  return document.execCommand("copy");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-do], [data-copy]");
  if (!button) return;
  if (button.dataset.copy) copy(button);
  else if (!button.dataset.confirm) tell(button);
  else {
    const { confirm, detail = "" } = button.dataset;
    ask(confirm, detail, button.textContent, () => tell(button));
  }
});

// Live parts are replaced when something changes: give the focus back to the same button.
const key = (button) => `${button.dataset.do}/${button.dataset.room}/${button.dataset.member}`;
document.addEventListener("focusin", (event) => {
  focused = event.target.dataset?.do ? key(event.target) : "";
});
new MutationObserver(() => {
  if (!focused || document.activeElement !== document.body) return;
  const again = [...document.querySelectorAll("[data-do]")].find((e) => key(e) === focused);
  if (again) again.focus({ preventScroll: true });
}).observe(document.documentElement, { childList: true, subtree: true });

// Gradio's button for the tabs that do not fit has no name.
new MutationObserver(() => {
  for (const button of document.querySelectorAll(".overflow-menu > button:not([aria-label])")) {
    button.setAttribute("aria-label", "More tabs");
  }
}).observe(document.documentElement, { childList: true, subtree: true });

// A session ends after twelve hours, by signing out elsewhere, or with a new password.
const fetchBefore = window.fetch;
window.fetch = async (...request) => {
  const answer = await fetchBefore(...request);
  if (answer.status === 401 && new URL(answer.url).pathname.startsWith("/admin/")) {
    location.href = "/admin-login";
  }
  return answer;
};

// What was shown may be old once the server was away: say so, and load the page anew after.
// A server that only takes its time is not away: what the host is filling in stays.
const PING_MS = 3000;
const AWAY_MS = 12000;
let lost = null;
async function ping() {
  try {
    await fetchBefore("/health", { cache: "no-store", signal: AbortSignal.timeout(AWAY_MS) });
    if (lost) location.reload();
  } catch {
    if (!lost) {
      lost = make("div", "The server does not answer. Trying again…", "bf-lost");
      lost.setAttribute("role", "alert");
      document.body.append(lost);
    }
  }
  setTimeout(ping, PING_MS);
}
setTimeout(ping, PING_MS);
