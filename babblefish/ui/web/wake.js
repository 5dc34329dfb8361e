// Keeps the screen on while the room is open, where the browser can.

let wanted = false;
let lock = null;

async function acquire() {
  if (!wanted || lock || document.visibilityState !== "visible") return;
  try {
    lock = await navigator.wakeLock?.request("screen");
    lock?.addEventListener("release", () => {
      lock = null;
    });
    if (!wanted) release();
  } catch {
    lock = null; // refused, as on a low battery: the room works without
  }
}

function release() {
  lock?.release().catch(() => {});
  lock = null;
}

document.addEventListener("visibilitychange", acquire);

export function keepAwake(on) {
  wanted = on;
  if (on) acquire();
  else release();
}
