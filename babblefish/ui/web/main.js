// Wires the page together: which link, which state, which room.

import { ApiError, api } from "./api.js";
import { $, show, store } from "./dom.js";
import { Door } from "./door.js";
import { JoinForm } from "./join.js";
import { Mic } from "./mic.js";
import { Room } from "./room.js";
import { Speaker } from "./sound.js";
import { banner, state, toast, view } from "./states.js";
import { explain, loadStrings, t } from "./strings.js";
import { profile } from "./voice.js";
import { keepAwake } from "./wake.js";

const session = store("sessionStorage");
const code = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const seatKey = `babblefish.seat.${code}`;
const REFUSALS = {
  room_token: ["expired", "link"],
  member_key: ["expired", "link"],
  not_found: ["expired", "link"],
  room_full: ["full", "people"],
  room_locked: ["locked", "lock"],
};
const ENDS = {
  room_closed: ["closed", "door"],
  removed: ["removed", "leave"],
  replaced: ["replaced", "screens"],
  left: ["left", "check"],
};

/** What this tab knows of its seat: token, key, member, name, languages. */
let seat = session.get(seatKey) ?? {};
let waiting = null;
let info = null;
let room = null;

const mic = new Mic();
const speaker = new Speaker($("sound"), (blocked) => show($("tap-to-hear"), blocked));
const door = new Door(code, { seated, turnedAway, lost: askAgain });
let form = null;

async function begin() {
  await loadStrings();
  form = new JoinForm(mic, speaker, join);
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  if (token) remember({ token, link: location.href });
  addEventListener("hashchange", () => location.reload());
  $("tap-to-hear").addEventListener("click", () => speaker.unlock(Boolean(mic.track)));
  if (!("RTCPeerConnection" in window)) return state("unsupported", "warning");
  await open();
}

function remember(changes = {}) {
  Object.assign(seat, changes);
  session.set(seatKey, seat);
}

function forgetSeat() {
  for (const name of ["key", "member", "originalLevel", "place"]) delete seat[name];
  remember();
}

/** Finds out about the room, again and again while the server is starting or away. */
async function open() {
  clearTimeout(waiting);
  if (!seat.token) return refuse({ code: "room_token" });
  try {
    info = await api.room(code, seat.token);
    remember({ info });
  } catch (error) {
    // A renewed link does not end a seat that was taken with the old one.
    if (!(error.status === 401 && (seat.key || seat.place) && seat.info)) return refuse(error);
    info = seat.info;
  }
  if (seat.place) waitAtDoor();
  else if (seat.key) await returnToSeat();
  else showForm();
}

function refuse(error) {
  const [name, symbol] = REFUSALS[error.code] ?? [];
  const again = [{ key: "action.retry", run: open, primary: true }];
  if (name) return state(name, symbol, again);
  if (error.code === "starting") {
    state("starting", null);
    waiting = setTimeout(open, 2000);
  } else if (error.status === 0 || error.status >= 502) {
    state("unreachable", "offline", again);
    waiting = setTimeout(open, 3000);
  } else {
    state("failed", "warning", again, explain(error));
    if (error.retryAfter) waiting = setTimeout(open, error.retryAfter * 1000);
  }
}

function showForm() {
  clearTimeout(waiting);
  if (info.locked) return refuse({ code: "room_locked" });
  view("join");
  document.title = `${info.name} · BabbleFish`;
  form.open(info, seat);
  if (matchMedia("(hover: hover)").matches && !$("name").value) $("name").focus();
}

async function join(choice) {
  let given;
  try {
    given = await api.join(code, seat.token, { ...choice, profile: profile() });
  } catch (error) {
    if (REFUSALS[error.code] || error.code === "starting") return refuse(error);
    throw new Error(t("join.failed", { message: explain(error) }));
  }
  form.close();
  if (given.waiting) return waitAtDoor({ ...choice, name: given.name, place: given.key });
  remember({ ...choice, name: given.name, key: given.key, member: given.member });
  enter();
}

/** The host decides who comes in. */
function waitAtDoor(changes = {}) {
  remember(changes);
  clearTimeout(waiting);
  const { place } = seat;
  state("waiting", null, [{ key: "action.stopWaiting", run: () => stopWaiting(place) }]);
  $("state").focus({ preventScroll: true });
  keepAwake(true);
  door.wait(place);
}

function stopWaiting(place) {
  door.leave(place);
  keepAwake(false);
  forgetSeat();
  showForm();
}

async function seated({ key, member }) {
  remember({ key, member, place: undefined });
  if (mic.track) enter();
  else await returnToSeat();
}

function turnedAway(decision) {
  keepAwake(false);
  forgetSeat();
  mic.close();
  const again = [{ key: "action.askAgain", run: open, primary: true }];
  if (decision === "refused") state("refused", "leave", again);
  else state("closed", "door", [], "");
}

/** The server lost this phone's place, as after a restart: take a new one. */
async function askAgain() {
  forgetSeat();
  try {
    await takeSeatAgain();
  } catch (error) {
    if (error.code === "starting" || error.status === 0 || error.status >= 502) {
      waiting = setTimeout(askAgain, 2000);
      return;
    }
    keepAwake(false);
    mic.close();
    refuse(error);
  }
}

async function takeSeatAgain() {
  const { name, speaks, hears, microphone, also } = seat;
  const given = await api.join(code, seat.token, { name, speaks, hears, microphone, also });
  if (given.waiting) waitAtDoor({ place: given.key });
  else await seated(given);
}

/** A reload or a revived tab: the same person, without the form. */
async function returnToSeat() {
  if (seat.microphone && (await Mic.allowed())) await mic.open().catch(() => {});
  speaker.unlock(Boolean(mic.track));
  enter();
}

function enter() {
  room = new Room({ code, info, seat, mic, speaker, remember, ended, rejoin });
  view("room");
  room.start();
}

/** The server has forgotten who sits here (one of the two was away): take the same seat again,
 *  or, where that is no longer possible, a new one. */
async function rejoin(refusal) {
  const { name, speaks, hears, microphone, also } = seat;
  const who = { name, speaks, hears, microphone, also, profile: profile() };
  try {
    const given = refusal.code === "seat" ? await comeBack(who) : await api.join(code, seat.token, who);
    if (given.waiting) {
      forgetSeat();
      room.stop();
      waitAtDoor({ place: given.key });
      return null;
    }
    remember({ key: given.key, member: given.member });
    return given;
  } catch (error) {
    if (!(error instanceof ApiError) || REFUSALS[error.code] || error.status === 422) {
      forgetSeat();
      leaveRoom();
      refuse(error);
      return null;
    }
    throw error;
  }
}

async function comeBack(who) {
  try {
    return await api.back(code, seat.key, who);
  } catch (error) {
    if (error.code !== "member_key") throw error;
    return api.join(code, seat.token, who);
  }
}

/** The room says that it, or this membership, is over. */
function ended(reason) {
  const [name, symbol] = ENDS[reason] ?? ENDS.left;
  leaveRoom();
  const actions = [];
  if (reason === "replaced") {
    actions.push({ key: "action.here", primary: true, run: returnToSeat });
  } else {
    forgetSeat();
    if (reason !== "room_closed") actions.push({ key: "action.again", primary: true, run: open });
  }
  if ($("caption-list").childElementCount > 0) {
    actions.push({ key: "action.captions", run: () => readOn(name) });
  }
  state(name, symbol, actions);
}

function leaveRoom() {
  room?.stop();
  mic.close();
}

/** The captions of a meeting that is over. */
function readOn(name) {
  view("room");
  $("room").classList.add("over");
  banner(t(`state.${name}`), { calm: true });
  $("captions").focus();
}

begin().catch(() => {
  state("failed", "warning", [{ key: "action.retry", run: () => location.reload(), primary: true }]);
  toast(t("state.failed"));
});
