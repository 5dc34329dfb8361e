// The people tab of the host page: what its buttons do. Gradio draws the lists; dialogs and
// changes are done here, with the routes below /admin/people.

import { consentTexts, consentWords, Enrolment } from "./people-enrol.js";
import { ask, element, open, request, say } from "./people-parts.js";

const FIELD = "#bf-people-action textarea, #bf-people-action input";
const player = new Audio();
let count = 0;

/** Tells the server whom to show, and to look again at what there is. */
function show(person = "") {
  const field = document.querySelector(FIELD);
  if (!field) return;
  count += 1; // the same message twice is two events
  field.value = JSON.stringify({ select: person, n: count });
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

const post = (person, what, body) =>
  request("POST", `/admin/people/${person}/${what}`, { body: JSON.stringify(body ?? {}) });

/** A question with a form; `send(form)` may throw, which is said in the dialog. */
function form(title, yes, parts, send) {
  const dialog = open(title);
  const fault = element("p", "", "bf-fault");
  fault.setAttribute("role", "alert");
  const row = element("div", "", "bf-actions");
  const go = element("button", yes, "bf-button bf-primary");
  const no = element("button", "Cancel", "bf-button");
  no.type = "button";
  no.addEventListener("click", () => dialog.close());
  row.append(no, go);
  const all = document.createElement("form");
  all.append(...parts, fault, row);
  all.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await send(all);
      dialog.close();
    } catch (error) {
      fault.textContent = error.message;
      go.disabled = false;
    }
  });
  dialog.append(all);
  dialog.showModal();
  return all;
}

function labelled(text, field) {
  const label = element("label", text);
  label.append(field);
  return label;
}

function nameField(value = "") {
  const field = document.createElement("input");
  Object.assign(field, { name: "name", value, required: true, maxLength: 40, autocomplete: "off" });
  return field;
}

function rename({ person, name }) {
  form("Rename", "Rename", [labelled("Name", nameField(name))], async (all) => {
    await post(person, "rename", { name: all.elements.name.value });
    show(person);
    say("Renamed, in stored meetings too.");
  });
}

function merge({ person, name }) {
  const choice = element("select");
  choice.name = "other";
  choice.append(document.getElementById("bf-others").content.cloneNode(true));
  const words = element(
    "p",
    "All recordings, voiceprints and consents of the one whom you choose become this person's. This cannot be undone.",
  );
  form(`Who else is ${name}?`, "Merge", [words, labelled("The same person as", choice)], async (all) => {
    await post(person, "merge", { other: all.elements.other.value });
    show(person);
    say("They are one person now.");
  });
}

async function split({ person, name }) {
  const ticked = (kind) =>
    [...document.querySelectorAll(`.bf-tick[data-${kind}]:checked`)].map((e) => e.dataset[kind]);
  const clips = ticked("clip");
  const embeddings = ticked("embedding");
  if (!clips.length && !embeddings.length) {
    say("First tick the recordings that are somebody else's.", true);
    return;
  }
  const purposes = [];
  if (embeddings.length) purposes.push("voiceprint");
  if (clips.length) purposes.push("cloning");
  const texts = await consentTexts();
  const words = element("p", `${clips.length + embeddings.length} of ${name}'s become those of a new person, who has to agree.`);
  words.dir = "auto";
  const parts = [words, labelled("Their name", nameField()), consentWords(texts, purposes, purposes)];
  form("Somebody else", texts.agree, parts, async (all) => {
    const { language } = texts;
    const body = { name: all.elements.name.value, language, purposes, clips, embeddings };
    const made = await (await post(person, "split", body)).json();
    show(made.speaker);
    say("They are two people now.");
  });
}

function remove({ person, name, detail }) {
  ask(`Delete ${name}?`, detail, "Delete", async () => {
    await post(person, "delete");
    show();
    say("Deleted.");
  });
}

function withdraw({ person, purpose, title, detail }) {
  ask(title, detail, "Withdraw", async () => {
    await post(person, "withdraw", { purpose });
    show(person);
    say("Withdrawn. What was kept for it is deleted.");
  });
}

async function play(button) {
  const playing = button.classList.contains("bf-playing");
  player.pause();
  player.dispatchEvent(new Event("ended"));
  if (playing) return;
  const sound = await request("GET", button.dataset.src);
  const address = URL.createObjectURL(await sound.blob());
  button.classList.add("bf-playing");
  player.addEventListener(
    "ended",
    () => {
      button.classList.remove("bf-playing");
      URL.revokeObjectURL(address);
    },
    { once: true },
  );
  player.src = address;
  await player.play();
}

const DO = {
  select: ({ person }) => show(person),
  enrol: (data) =>
    new Enrolment(data, (speaker) => {
      show(speaker);
      say("Saved. Their voice is known from now on.");
    }).start(),
  rename,
  merge,
  split,
  delete: remove,
  withdraw,
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-people]");
  if (!button) return;
  const { people: what } = button.dataset;
  try {
    await (what === "play" ? play(button) : DO[what]({ ...button.dataset }));
  } catch (error) {
    say(error.message, true);
  }
});
