// A stream of the public API as reactive state; it closes with the component that opened it.
import { onDestroy } from "svelte";
import { type Query, stream } from "./api";

export interface Live<T> {
  value: T | null;
  connected: boolean;
}

export function live<T>(path: string, query: Query, onData: (data: T) => void = () => {}): Live<T> {
  const state: Live<T> = $state({ value: null, connected: false });
  const stop = stream<T>(
    path,
    query,
    (data) => {
      state.value = data;
      onData(data);
    },
    (connected) => (state.connected = connected),
  );
  onDestroy(stop);
  return state;
}
