// Live exchanges, added up by who called what.
import type { Exchange } from "./api";

export interface TopRow {
  key: string;
  source: string;
  destination: string;
  method: string;
  path: string;
  count: number;
  best: number;
  worst: number;
  last: number;
  success: number;
  /** Successes and failures: what was cancelled or denied is neither. */
  judged: number;
}

/** Adds an exchange to the rows; of a new one beyond `limit` rows it is said that it was left out. */
export function add(rows: Map<string, TopRow>, e: Exchange, limit = 200): boolean {
  const source = e.direction === "inbound" ? e.peer_identity || e.source.replace(/:\d+$/, "") : e.pod;
  const called = e.dst_workload || e.dst_service;
  const near = !e.dst_namespace || e.dst_namespace === e.namespace;
  const destination = e.direction === "inbound" ? e.pod : called ? (near ? called : `${e.dst_namespace}/${called}`) : e.destination;
  const path = e.path.split("?")[0] ?? "";
  const key = [source, destination, e.method, path].join(" ");
  const old = rows.get(key);
  if (!old && rows.size >= limit) return false;
  const good = e.result === "success" ? 1 : 0;
  const bad = e.result === "failure" ? 1 : 0;
  // A new object each time: the page redraws what is not the same object any more.
  rows.set(key, {
    key,
    source,
    destination,
    method: e.method,
    path,
    count: (old?.count ?? 0) + 1,
    best: Math.min(old?.best ?? Infinity, e.latency_us),
    worst: Math.max(old?.worst ?? 0, e.latency_us),
    last: e.latency_us,
    success: (old?.success ?? 0) + good,
    judged: (old?.judged ?? 0) + good + bad,
  });
  return true;
}

export function sorted(rows: Map<string, TopRow>): TopRow[] {
  return [...rows.values()].sort((a, b) => b.count - a.count || a.key.localeCompare(b.key));
}
