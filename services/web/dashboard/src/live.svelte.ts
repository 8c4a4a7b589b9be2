// Streams as reactive state; they close with the component that opened them.
import { onDestroy } from "svelte";
import { merge, type Pushed, type Query, type Stat, stream } from "./api";

export interface Live<T> {
  value: T | null;
  connected: boolean;
  /** Why the server refused. */
  error: string;
}

/** Any view, whole, each time it changes. */
export function view<T>(name: string, query: Query): Live<T> {
  return listen<T, T>("stream", { view: name, ...query }, (_, news) => news);
}

/** Rows: all, then what changes. */
export function live(query: Query): Live<Stat> {
  return listen<Stat, Pushed>("stat/stream", query, merge);
}

function listen<T, News>(path: string, query: Query, fold: (held: T | null, news: News) => T): Live<T> {
  const state: Live<T> = $state({ value: null, connected: false, error: "" });
  let held: T | null = null;
  const stop = stream<News>(path, query, {
    onData(news) {
      held = fold(held, news);
      state.value = held;
    },
    onState(connected) {
      state.connected = connected;
      if (connected) state.error = "";
      // A stream that is opened again begins with everything.
      held = null;
    },
    onFailure: (message) => (state.error = message),
  });
  onDestroy(stop);
  return state;
}
