// Numbers as people read them. null means: not known.
import type { Latency, Row } from "./api";

export const unknown = "–";

export function percent(value: number | null): string {
  if (value === null) return unknown;
  const text = (value * 100).toFixed(2);
  // One failure among a million stays visible.
  return `${text === "100.00" && value < 1 ? "99.99" : text} %`;
}

export function rate(value: number | null): string {
  if (value === null) return unknown;
  return value > 0 && value < 0.05 ? "<0.1/s" : `${value.toFixed(1)}/s`;
}

/** What each row has of the requests of all; of none it is known while one in the mesh does not tell. */
export function shares(rows: Row[]): string[] {
  const total = rows.reduce((sum, row) => sum + (row.rps ?? 0), 0);
  const silent = rows.some((row) => row.rps === null && row.meshed?.pods);
  return rows.map((row) => (silent || !total || row.rps === null ? unknown : `${Math.round((100 * row.rps) / total)} %`));
}

/** The time that numbers are over, as sentences say it. */
export function lately(seconds: number): string {
  return seconds === 60 ? "in the last minute" : seconds % 60 ? `in the last ${seconds} s` : `in the last ${seconds / 60} min`;
}

/** Seconds as milliseconds below 1 s. */
export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return unknown;
  if (value > 0 && value < 0.001) return "<1 ms";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`;
}

/** A quantile of a latency; with > before it when it is longer than proxies measure. */
export function quantile(latency: Latency | null | undefined, name: "p50" | "p95" | "p99"): string {
  const text = seconds(latency?.[name]);
  return latency?.at_least.includes(name) ? `>${text}` : text;
}

export function microseconds(value: number): string {
  return value < 1000 ? `${value} µs` : seconds(value / 1e6);
}

export function bytesPerSecond(value: number | null): string {
  if (value === null) return unknown;
  if (value > 0 && value < 0.5) return "<1 B/s";
  const units = ["B/s", "kB/s", "MB/s", "GB/s"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

/** How a success rate looks: the thresholds of the field, 95 % and 90 %. */
export function health(success: number | null): "good" | "warn" | "bad" | "none" {
  if (success === null) return "none";
  if (success < 0.9) return "bad";
  return success < 0.95 ? "warn" : "good";
}

export function clock(microsecondsSinceEpoch: number): string {
  return new Date(microsecondsSinceEpoch / 1000).toISOString().slice(11, 23);
}

/** "spiffe://cluster.local/ns/teahouse/sa/counter" as "teahouse/counter". */
export function identity(spiffe: string): string {
  const match = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(spiffe);
  return match ? `${match[1]}/${match[2]}` : spiffe;
}

/** Time until a point in time (seconds since the epoch), coarse as people say it. */
export function left(timestamp: number, now = Date.now() / 1000): string {
  const rest = timestamp - now;
  if (rest <= 0) return "ended";
  if (rest < 3600) return `${Math.floor(rest / 60)} min`;
  return rest < 2 * 86400 ? `${Math.floor(rest / 3600)} h` : `${Math.floor(rest / 86400)} days`;
}
