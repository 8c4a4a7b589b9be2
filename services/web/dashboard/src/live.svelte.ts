// A stream of rows as reactive state; it closes with the component that opened it.
import { onDestroy } from "svelte";
import { merge, type Pushed, type Query, type StatAnswer, stream } from "./api";

export interface Live {
  value: StatAnswer | null;
  connected: boolean;
  /** Why the server refused. */
  error: string;
}

export function live(path: string, query: Query, onData: (data: StatAnswer) => void = () => {}): Live {
  const state: Live = $state({ value: null, connected: false, error: "" });
  let held: StatAnswer | null = null;
  const stop = stream<Pushed>(path, query, {
    onData(news) {
      held = merge(held, news);
      state.value = held;
      onData(held);
    },
    onState(connected) {
      state.connected = connected;
      // A stream that is opened again begins with all rows.
      held = null;
    },
    onFailure: (message) => (state.error = message),
  });
  onDestroy(stop);
  return state;
}
