// Small parts of the people tab: elements, dialogs, short messages, requests with words for errors.

const SAID_MS = 6000;

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** The answer of the server; an Error with its words where it refuses. */
export async function request(method, path, options = {}) {
  const headers = typeof options.body === "string" ? { "Content-Type": "application/json" } : {};
  let answer;
  try {
    answer = await fetch(path, { method, headers, cache: "no-store", ...options });
  } catch {
    throw new Error("The server does not answer. Try again in a moment.");
  }
  if (answer.ok) return answer;
  const refused = await answer.json().catch(() => null);
  throw new Error(refused?.error?.message ?? "That did not work. Please try again.");
}

/** A dialog with a title, not shown yet; it goes away for good when it is closed. */
export function open(title, className = "") {
  const dialog = element("dialog", "", `bf-dialog bf-people-dialog ${className}`);
  const head = element("h2", title);
  head.id = "bf-people-title";
  head.dir = "auto";
  dialog.setAttribute("aria-labelledby", head.id);
  dialog.append(head);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  return dialog;
}

/** A question; `then()` if the answer is yes. What it throws is said. */
export function ask(question, detail, yes, then) {
  const dialog = open(question);
  const row = element("div", "", "bf-actions");
  const no = element("button", "Cancel", "bf-button");
  const go = element("button", yes, "bf-button bf-danger-solid");
  for (const button of [no, go]) button.type = "button";
  no.addEventListener("click", () => dialog.close());
  go.addEventListener("click", async () => {
    dialog.close();
    try {
      await then();
    } catch (error) {
      say(error.message, true);
    }
  });
  row.append(no, go);
  dialog.append(element("p", detail), row);
  dialog.showModal();
  no.focus();
}

/** A short message that goes away by itself. */
export function say(text, problem = false) {
  for (const old of document.querySelectorAll(".bf-people-notice")) old.remove();
  const notice = element("div", text, `bf-notice bf-people-notice ${problem ? "bf-problem" : ""}`);
  notice.setAttribute("role", problem ? "alert" : "status");
  (document.querySelector(".gradio-container") ?? document.body).append(notice);
  setTimeout(() => notice.remove(), SAID_MS);
}
