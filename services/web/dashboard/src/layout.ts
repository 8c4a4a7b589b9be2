// Where a map's nodes stand: by the longest way from a source, then by name. The same traffic gives the same map.
import { type Edge, key, type Ref, type Row } from "./api";
import { label } from "./links";

export interface Placed {
  id: string;
  ref: Ref;
  row: Row | null;
  x: number;
  y: number;
}

export interface Line {
  id: string;
  edge: Edge;
  from: Placed;
  to: Placed;
  /** Width in pixels, by requests a second. */
  width: number;
}

export interface Drawing {
  nodes: Placed[];
  lines: Line[];
  width: number;
  height: number;
  /** Nodes with traffic that there was no room for. */
  left: number;
}

export const BOX = { width: 168, height: 46, gapX: 92, gapY: 18 };
const MOST = 120;

/** Only what has traffic is drawn: the busiest, when there are too many. Traffic of a node with itself is no line. */
export function draw(rows: Row[], edges: Edge[], most = MOST): Drawing {
  const between = edges.filter((edge) => key(edge.src) !== key(edge.dst));
  const refs = new Map(edges.flatMap((edge) => [edge.src, edge.dst]).map((ref) => [key(ref), ref]));
  const traffic = new Map<string, number>();
  for (const edge of edges)
    for (const end of [edge.src, edge.dst]) traffic.set(key(end), (traffic.get(key(end)) ?? 0) + (edge.rps ?? 0));
  const shown = [...refs.keys()].sort((a, b) => (traffic.get(b) ?? 0) - (traffic.get(a) ?? 0) || a.localeCompare(b)).slice(0, most);
  const known = new Map(rows.map((row) => [key(row), row]));
  const column = columns(shown, between);
  const filled: string[][] = [];
  for (const id of shown) (filled[column.get(id) ?? 0] ??= []).push(id);
  const tallest = Math.max(0, ...filled.map((ids) => ids?.length ?? 0));
  const nodes = new Map<string, Placed>();
  filled.forEach((ids, x) => {
    const byName = ids.toSorted((a, b) => label(refs.get(a) as Ref).localeCompare(label(refs.get(b) as Ref)));
    const top = ((tallest - ids.length) * (BOX.height + BOX.gapY)) / 2;
    byName.forEach((id, y) => {
      const place = { x: x * (BOX.width + BOX.gapX), y: top + y * (BOX.height + BOX.gapY) };
      nodes.set(id, { id, ref: refs.get(id) as Ref, row: known.get(id) ?? null, ...place });
    });
  });
  const lines = between.flatMap((edge) => {
    const [from, to] = [nodes.get(key(edge.src)), nodes.get(key(edge.dst))];
    return from && to ? [{ id: `${from.id} ${to.id} ${edge.server_id} ${edge.tls}`, edge, from, to, width: thickness(edge.rps) }] : [];
  });
  const width = Math.max(1, filled.length) * (BOX.width + BOX.gapX) - BOX.gapX;
  return { nodes: [...nodes.values()], lines, width, height: Math.max(1, tallest) * (BOX.height + BOX.gapY), left: refs.size - shown.length };
}

export function thickness(rps: number | null): number {
  return 1 + Math.min(7, Math.log2(1 + (rps ?? 0)));
}

/** Longest way from a node that nobody calls; calls in a circle end where they would begin again. */
function columns(ids: string[], edges: Edge[]): Map<string, number> {
  const inside = new Set(ids);
  const callers = new Map<string, string[]>();
  for (const edge of edges) {
    const [from, to] = [key(edge.src), key(edge.dst)];
    if (inside.has(from) && inside.has(to)) callers.set(to, [...(callers.get(to) ?? []), from]);
  }
  const depth = new Map<string, number>();
  function visit(id: string, on: Set<string>): number {
    const held = depth.get(id);
    if (held !== undefined) return held;
    if (on.has(id)) return -1;
    on.add(id);
    const found = 1 + Math.max(-1, ...(callers.get(id) ?? []).toSorted().map((caller) => visit(caller, on)));
    on.delete(id);
    depth.set(id, found);
    return found;
  }
  for (const id of ids.toSorted()) visit(id, new Set());
  return depth;
}
