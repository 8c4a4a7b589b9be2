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
}

/** Adds an exchange to the rows; at most `limit` of them, the least counted leaves. */
export function add(rows: Map<string, TopRow>, e: Exchange, limit = 200): void {
  const source = e.direction === "inbound" ? e.peer_identity || e.source.replace(/:\d+$/, "") : e.pod;
  const destination = e.direction === "inbound" ? e.pod : e.dst_workload || e.dst_service || e.destination;
  const path = e.path.split("?")[0] ?? "";
  const key = [source, destination, e.method, path].join(" ");
  const row = rows.get(key) ?? { key, source, destination, method: e.method, path, count: 0, best: Infinity, worst: 0, last: 0, success: 0 };
  row.count += 1;
  row.best = Math.min(row.best, e.latency_us);
  row.worst = Math.max(row.worst, e.latency_us);
  row.last = e.latency_us;
  row.success += e.result === "success" ? 1 : 0;
  rows.set(key, row);
  if (rows.size > limit) rows.delete([...rows.values()].reduce((a, b) => (b.count < a.count ? b : a)).key);
}

export function sorted(rows: Map<string, TopRow>): TopRow[] {
  return [...rows.values()].sort((a, b) => b.count - a.count || a.key.localeCompare(b.key));
}
