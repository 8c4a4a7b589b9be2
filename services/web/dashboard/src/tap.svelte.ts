// From the address bar to a tap: what both the tap page and the top page listen to.
import { onDestroy } from "svelte";
import { type Exchange, type Query, stream } from "./api";
import { place } from "./router.svelte";

const KINDS: Record<string, string> = {
  deploy: "deployment",
  deployments: "deployment",
  po: "pod",
  pods: "pod",
  sts: "statefulset",
  ds: "daemonset",
  ns: "namespace",
};

/** "deploy/counter" as query parameters; a namespace when empty. */
export function resourceQuery(namespace: string, resource: string): Query {
  const [kind = "", name = ""] = resource.split("/");
  if (!name) return { namespace, kind: "namespace", name: namespace };
  return { namespace, kind: KINDS[kind] ?? kind, name };
}

export interface TapState {
  connected: boolean;
  error: string;
}

/** Listens while the page's address says `run`; `onData` gets each exchange. */
export function tap(query: Query, onData: (e: Exchange) => void): TapState {
  const state: TapState = $state({ connected: false, error: "" });
  const stop = stream<Exchange>("tap", query, {
    onData(data) {
      // Other lines tell the state of the tap.
      if (typeof data.method === "string") onData(data);
    },
    onState: (connected) => (state.connected = connected),
    onFailure: (message) => (state.error = message),
  });
  onDestroy(stop);
  return state;
}

export function tapQuery(): Query | null {
  if (!place.query.get("run")) return null;
  const field = (name: string) => place.query.get(name) ?? "";
  return {
    ...resourceQuery(field("namespace"), field("resource")),
    method: field("method"),
    path: field("path"),
    status: field("status"),
    min_latency: field("min_latency"),
  };
}
