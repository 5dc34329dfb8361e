// The server's HTTP routes. Every failure is an ApiError with the server's stable code.

const TIMEOUT_MS = 12000;

export class ApiError extends Error {
  constructor(code, message, status = 0, retryAfter = 0) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter; // seconds, 0: not said
  }
}

/** `sound`: a Blob sent as it is. `wanted`: "json", or "sound" for a Blob as the answer. */
export async function request(path, options = {}) {
  const { method = "GET", bearer, body, sound, wanted = "json", keepalive = false, timeout = TIMEOUT_MS } = options;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeout);
  const headers = { Accept: "application/json" };
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (body) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(path, {
      method,
      headers,
      body: sound ?? (body && JSON.stringify(body)),
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: abort.signal,
      keepalive,
    });
    return answer.ok && wanted === "sound" ? await answer.blob() : await read(answer);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError("unreachable", "The server does not answer.");
  } finally {
    clearTimeout(timer);
  }
}

async function read(answer) {
  if (answer.status === 204) return null;
  const data = await answer.json().catch(() => null);
  if (answer.ok && data) return data;
  const error = data?.error ?? {};
  throw new ApiError(
    error.code ?? "unreachable",
    error.message ?? "The server does not answer.",
    answer.status,
    Number(answer.headers.get("Retry-After")) || 0,
  );
}

const room = (code) => `/api/rooms/${encodeURIComponent(code)}`;

export const api = {
  room: (code, token) => request(room(code), { bearer: token }),
  join: (code, token, body) => request(`${room(code)}/join`, { method: "POST", bearer: token, body }),
  offer: (code, key, sdp) =>
    request(`${room(code)}/offer`, { method: "POST", bearer: key, body: { type: "offer", sdp } }),
  leave: (code, key) =>
    request(`${room(code)}/leave`, { method: "POST", bearer: key, keepalive: true }),
  /** Whether this server has the page: only one with its own certificate explains it. */
  exists: (path) => fetch(path).then((answer) => answer.ok, () => false),
};
