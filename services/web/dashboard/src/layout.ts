// Where a map's nodes stand: by the longest way from a source, then by name. The same traffic gives the same map; while
// it is looked at, what was drawn keeps its place, and what is new gets a free one.
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

/** A column and a row: halves, where a column is set in the middle. */
type Place = { column: number; row: number };
/** Where nodes were drawn before. */
export type Places = Map<string, Place>;

/**
 * Only what has traffic is drawn: the busiest, when there are too many. Traffic of a node with itself is no line.
 *
 * `held` has the places of the drawing before, and then those of this one.
 */
export function draw(rows: Row[], edges: Edge[], most = MOST, held: Places = new Map()): Drawing {
  const between = edges.filter((edge) => key(edge.src) !== key(edge.dst));
  const refs = new Map(edges.flatMap((edge) => [edge.src, edge.dst]).map((ref) => [key(ref), ref]));
  const traffic = new Map<string, number>();
  for (const edge of edges)
    for (const end of [edge.src, edge.dst]) traffic.set(key(end), (traffic.get(key(end)) ?? 0) + (edge.rps ?? 0));
  const shown = [...refs.keys()].sort((a, b) => (traffic.get(b) ?? 0) - (traffic.get(a) ?? 0) || a.localeCompare(b)).slice(0, most);
  const known = new Map(rows.map((row) => [key(row), row]));
  settle(shown, columns(shown, between), (id) => label(refs.get(id) as Ref), held);
  const nodes = new Map<string, Placed>();
  for (const [id, { column, row }] of held) {
    const place = { x: column * (BOX.width + BOX.gapX), y: row * (BOX.height + BOX.gapY) };
    if (refs.has(id)) nodes.set(id, { id, ref: refs.get(id) as Ref, row: known.get(id) ?? null, ...place });
  }
  const lines = between.flatMap((edge) => {
    const [from, to] = [nodes.get(key(edge.src)), nodes.get(key(edge.dst))];
    return from && to ? [{ id: `${from.id} ${to.id} ${edge.server_id} ${edge.tls}`, edge, from, to, width: thickness(edge.rps) }] : [];
  });
  const width = Math.max(BOX.width, ...[...nodes.values()].map((node) => node.x + BOX.width));
  const height = Math.max(0, ...[...nodes.values()].map((node) => node.y)) + BOX.height + BOX.gapY;
  return { nodes: [...nodes.values()], lines, width, height, left: refs.size - shown.length };
}

/** Gives a place to each node that has none: all at once in the middle of their columns, later ones below the others. */
function settle(ids: string[], column: Map<string, number>, name: (id: string) => string, held: Places): void {
  for (const id of held.keys()) if (!column.has(id)) held.delete(id);
  const first = held.size === 0;
  const filled: string[][] = [];
  for (const id of ids.filter((id) => !held.has(id))) (filled[column.get(id) ?? 0] ??= []).push(id);
  const tallest = Math.max(0, ...filled.map((added) => added?.length ?? 0));
  filled.forEach((added, at) => {
    const below = [...held.values()].filter((place) => place.column === at).map((place) => place.row + 1);
    const top = first ? (tallest - added.length) / 2 : Math.max(0, ...below);
    const byName = added.toSorted((a, b) => name(a).localeCompare(name(b)));
    byName.forEach((id, i) => held.set(id, { column: at, row: top + i }));
  });
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
