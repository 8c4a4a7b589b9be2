// Rows as the address asks for them: those with a text in their names, in the order of a column.
import type { Row } from "./api";

/** Each column's number; the highest come first. Of success the lowest do: the worst is what one looks for. */
const VALUES: Record<string, (row: Row) => number | null | undefined> = {
  success: (row) => (row.success === null ? null : -row.success),
  rps: (row) => row.rps,
  p50: (row) => row.latency_seconds?.p50,
  p95: (row) => row.latency_seconds?.p95,
  p99: (row) => row.latency_seconds?.p99,
  connections: (row) => row.tcp_open_connections,
};

export const BUSIEST = "rps";

/** `by` is a column, with - before it for the other way round. What has no number is last, and by name what is alike. */
export function ordered(rows: Row[], by: string): Row[] {
  const turn = by.startsWith("-") ? -1 : 1;
  const column = by.replace("-", "");
  const name = (a: Row, b: Row) => a.name.localeCompare(b.name);
  if (column === "name") return rows.toSorted((a, b) => turn * name(a, b));
  const value = VALUES[column] ?? VALUES[BUSIEST];
  const known = (row: Row) => value?.(row) ?? null;
  const numbers = (a: number | null, b: number | null) => (a === null || b === null ? Number(a === null) - Number(b === null) : turn * (b - a));
  return rows.toSorted((a, b) => numbers(known(a), known(b)) || name(a, b));
}

/** How a browser's words for it are: names and success begin with the lowest. */
export function direction(column: string, by: string): "ascending" | "descending" | undefined {
  if (by.replace("-", "") !== column) return undefined;
  return ["name", "success"].includes(column) === !by.startsWith("-") ? "ascending" : "descending";
}

export function matching(rows: Row[], text: string): Row[] {
  return rows.filter((row) => row.name.includes(text.trim().toLowerCase()));
}
