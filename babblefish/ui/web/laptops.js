// The laptops tab of the host page: asks for a new name. All its other buttons are host.js's.

import { element, open } from "./people-parts.js";

const FIELD = "#bf-laptop-action textarea, #bf-laptop-action input";
let count = 0;

function tell(laptop, name) {
  const field = document.querySelector(FIELD);
  if (!field) return;
  count += 1; // the same message twice is two events
  field.value = JSON.stringify({ do: "rename", room: laptop, member: name, n: `rename ${count}` });
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function rename(laptop, before) {
  const dialog = open("Rename");
  const field = element("input");
  Object.assign(field, { name: "name", value: before, required: true, maxLength: 40, autocomplete: "off" });
  const label = element("label", "Name of the laptop");
  label.append(field);
  const no = element("button", "Cancel", "bf-button");
  no.type = "button";
  no.addEventListener("click", () => dialog.close());
  const row = element("div", "", "bf-actions");
  row.append(no, element("button", "Rename", "bf-button bf-primary"));
  const form = element("form");
  form.append(label, row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    tell(laptop, field.value);
    dialog.close();
  });
  dialog.append(form);
  dialog.showModal();
  field.select();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-laptop-rename]");
  if (button) rename(button.dataset.laptopRename, button.dataset.name);
});
