// The public API's shapes (see /api/v1/openapi.json) and the two ways to read it: once, and as a stream.

export interface Workload {
  namespace: string;
  kind: string;
  name: string;
}

export interface Stat extends Workload {
  meshed: { pods: number; running: number };
  success: number | null;
  rps: number | null;
  latency_seconds: { p50: number | null; p95: number | null; p99: number | null } | null;
  tcp_open_connections: number | null;
  tcp_read_bytes_per_second: number | null;
  tcp_written_bytes_per_second: number | null;
  totals: { success: number; failure: number; cancelled: number };
  status?: string;
  note: string;
}

export interface StatAnswer {
  window_seconds: number;
  rows: Stat[];
}

/** What a stream of rows sends: all of them first, then those that changed and those that are gone. */
export interface Pushed extends StatAnswer {
  removed?: Workload[];
}

/** The rows held, with what was pushed. */
export function merge(held: StatAnswer | null, news: Pushed): StatAnswer {
  if (!held) return news;
  const key = (w: Workload) => `${w.namespace} ${w.kind} ${w.name}`;
  const rows = new Map(held.rows.map((row) => [key(row), row]));
  for (const row of news.rows) rows.set(key(row), row);
  for (const gone of news.removed ?? []) rows.delete(key(gone));
  return { ...news, rows: [...rows.values()] };
}

export interface Edge {
  src: Workload;
  dst: Workload;
  client_id: string;
  server_id: string;
  tls: string;
  rps: number | null;
  success: number | null;
}

export interface Check {
  id: string;
  name: string;
  result: string;
  message: string;
}

export interface Version {
  version: string;
  grafana_url: string | null;
}

export interface Exchange {
  id: number;
  started_us: number;
  direction: string;
  source: string;
  destination: string;
  tls: string;
  peer_identity: string;
  method: string;
  authority: string;
  path: string;
  status: number;
  grpc_status: number;
  result: string;
  latency_us: number;
  duration_us: number;
  route: string;
  dst_namespace: string;
  dst_service: string;
  dst_workload: string;
  error: string;
  pod: string;
  namespace: string;
  request_headers: { name: string; value: string }[];
  response_headers: { name: string; value: string }[];
}

export type Query = Record<string, string>;

export function url(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(given).toString();
  return `/api/v1/${path}${text ? `?${text}` : ""}`;
}

/** One answer; an Error that carries the server's message and hint when it refuses. */
export async function get<T>(path: string, query: Query = {}): Promise<T> {
  const response = await fetch(url(path, query));
  const body = await response.json();
  if (!response.ok) throw new Error([body.error?.message, body.error?.hint].filter(Boolean).join(". "));
  return body as T;
}

export interface Listener<T> {
  onData: (data: T) => void;
  /** Hears whether the stream is connected. */
  onState: (connected: boolean) => void;
  /** Hears why the server ended the stream; it is not opened again. */
  onFailure?: (message: string) => void;
}

/** Server-sent events; returns how to stop. */
export function stream<T>(path: string, query: Query, listener: Listener<T>): () => void {
  const source = new EventSource(url(path, query));
  source.onopen = () => listener.onState(true);
  source.onerror = () => listener.onState(false);
  source.onmessage = (event) => listener.onData(JSON.parse(event.data) as T);
  source.addEventListener("failure", (event) => {
    source.close();
    const { error } = JSON.parse((event as MessageEvent).data);
    listener.onState(false);
    listener.onFailure?.([error.message, error.hint].filter(Boolean).join(". "));
  });
  return () => source.close();
}
