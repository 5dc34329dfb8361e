// At the door of a room: waits until the host lets this phone in, over reloads and lost
// connections. Knows the server only by its answers, and nothing of the room behind the door.

import { api } from "./api.js";

const AGAIN_MS = 2000;

export class Door {
  /** `hooks`: seated({key, member}), turnedAway(state), lost(error) when the place is gone. */
  constructor(code, hooks) {
    this.code = code;
    this.hooks = hooks;
    this.generation = 0;
  }

  /** Asks again and again; the server answers as soon as the host has decided. */
  async wait(key) {
    this.generation += 1;
    const generation = this.generation;
    const current = () => generation === this.generation;
    while (current()) {
      let answer;
      try {
        answer = await api.place(this.code, key);
      } catch (error) {
        if (!current()) return;
        if (error.status === 401) return this.hooks.lost(error);
        await new Promise((resolve) => setTimeout(resolve, (error.retryAfter || 0) * 1000 || AGAIN_MS));
        continue;
      }
      if (!current()) return;
      if (answer.state === "admitted") return this.hooks.seated(answer.seat);
      if (answer.state !== "waiting") return this.hooks.turnedAway(answer.state);
    }
  }

  /** Goes away from the door. */
  leave(key) {
    this.generation += 1;
    return api.giveUp(this.code, key).catch(() => {});
  }
}
