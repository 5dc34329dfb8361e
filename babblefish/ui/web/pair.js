// Two people at this phone: which two languages they may choose, in rooms that are made for that.

import { find, ownName } from "./languages.js";
import { make, show } from "./dom.js";
import { t } from "./strings.js";

export const NOBODY = ""; // nobody shares the phone

/** Languages that may be chosen beside `hears`: spoken, heard, and translated both ways. */
function partners(info, hears) {
  if (!info.two_on_a_phone || !find(info, hears)?.speak) return [];
  const unserved = (one, other) => info.unserved.some(([from, to]) => from === one && to === other);
  return info.languages.filter(
    ({ code, speak, hear }) =>
      speak && hear && code !== hears && !unserved(code, hears) && !unserved(hears, code),
  );
}

/** Fills the second select; with the likeliest where `value` cannot be had. */
export function fillAlso(select, info, value, hears) {
  const served = partners(info, hears);
  const option = ({ code }) => make("option", { value: code, lang: code, text: ownName(info, code) });
  const nobody = make("option", { value: NOBODY, text: t("join.alsoNobody") });
  select.replaceChildren(...served.map(option), nobody);
  const known = value === NOBODY || served.some(({ code }) => code === value);
  select.value = known ? value : likeliest(served);
}

function likeliest(served) {
  const tags = [...(navigator.languages ?? [navigator.language]), "en"];
  const codes = tags.map((tag) => tag.toLowerCase().split("-")[0]);
  const wanted = codes.find((code) => served.some((language) => language.code === code));
  return wanted ?? served[0]?.code ?? NOBODY;
}

/** The words around the two selects, as `also` is chosen or not. */
export function label(info, label, field, also) {
  label.textContent = t(also ? "join.weSpeak" : "join.hears");
  show(field, Boolean(info.two_on_a_phone));
  show(field.querySelector(".hint"), Boolean(also));
}
