// Keeps the wall true: name, QR code and number of people of one room, every second.

const at = (id) => document.getElementById(id);
const EVERY_MS = 1000;

function show(room) {
  document.title = `Join ${room.name} · BabbleFish`;
  at("name").textContent = room.name;
  at("link").textContent = room.link;
  if (at("qr").getAttribute("src") !== room.qr) at("qr").src = room.qr;
  at("how").textContent = room.locked
    ? "The room is locked: nobody new can join."
    : "Scan with your phone, choose your language, join.";
  const people = room.people === 1 ? "1 person is here" : `${room.people} people are here`;
  at("people").textContent = room.people ? people : "";
  document.body.classList.toggle("locked", room.locked);
}

function problem(text) {
  at("lost").textContent = text;
  at("lost").hidden = !text;
}

async function look() {
  let answer;
  try {
    answer = await fetch(`${location.pathname}/state`, { cache: "no-store" });
  } catch {
    problem("The server does not answer. Trying again…");
    return true;
  }
  if (answer.status === 404) {
    location.reload();
    return false;
  }
  if (answer.status === 401) {
    location.href = "/admin-login";
    return false;
  }
  if (answer.ok) {
    show(await answer.json());
    problem("");
  }
  return true;
}

async function keepLooking() {
  if (await look()) setTimeout(keepLooking, EVERY_MS);
}

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // refused on low battery: the wall may then go dark as any other page
  }
}

if (document.fullscreenEnabled) {
  at("full").hidden = false;
  at("full").addEventListener("click", () => document.documentElement.requestFullscreen());
}
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") stayAwake();
});
stayAwake();
keepLooking();
