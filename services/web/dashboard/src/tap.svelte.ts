// From the address bar to a tap: what both the tap page and the top page listen to.
import { onDestroy } from "svelte";
import { type Exchange, type Listener, type Query, stream } from "./api";
import { FILTERS, notice, resourceQuery, type TapStatus } from "./filters";
import { place } from "./router.svelte";

export interface TapState {
  connected: boolean;
  error: string;
  /** What the tap itself says: nobody to listen to, or only some. */
  notice: string;
  /** Requests that matched and are not shown, because there were too many. */
  leftOut: number;
}

/** Listens; `onData` gets each exchange; `unseen`: also while nobody sees the page. */
export function tap(query: Query, onData: (e: Exchange) => void, unseen = false): TapState {
  const state: TapState = $state({ connected: false, error: "", notice: "", leftOut: 0 });
  const seen = new Set<string>();
  const hear = (exchange: Exchange) => {
    state.leftOut += exchange.skipped;
    onData(exchange);
  };
  const listener: Listener<Exchange & { status?: number | TapStatus }> = {
    onData(data) {
      if (typeof data.method === "string") once(seen, data as Exchange, hear);
      else if (data.status && typeof data.status === "object") state.notice = notice(data.status);
    },
    onState(connected) {
      state.connected = connected;
      if (connected) state.error = "";
    },
    onFailure: (message) => (state.error = message),
  };
  const stop = stream("tap", query, listener, unseen);
  onDestroy(stop);
  return state;
}

const REMEMBERED = 5000;

/** A stream that is opened again may tell what was told before. */
function once(seen: Set<string>, exchange: Exchange, onData: (e: Exchange) => void): void {
  const id = exchangeKey(exchange);
  if (seen.has(id)) return;
  seen.add(id);
  for (const oldest of seen) {
    if (seen.size <= REMEMBERED) break;
    seen.delete(oldest);
  }
  onData(exchange);
}

export function exchangeKey(e: Exchange): string {
  return `${e.pod} ${e.direction} ${e.id} ${e.started_us}`;
}

export function tapQuery(): Query | null {
  if (!place.query.get("run")) return null;
  const field = (name: string) => place.query.get(name) ?? "";
  const filters = Object.fromEntries(FILTERS.map(({ name }) => [name, field(name)]));
  return { ...resourceQuery(field("namespace"), field("resource")), ...filters };
}
