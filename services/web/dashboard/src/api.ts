// The public API's shapes (see /api/v1/openapi.json) and the two ways to read it: once, and as a stream.

export interface Ref {
  namespace: string;
  kind: string;
  name: string;
}

export interface Latency {
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** Those of the three that are longer than proxies measure: the number is what they measure at most. */
  at_least: string[];
}

export interface Row extends Ref {
  meshed: { pods: number; running: number } | null;
  success: number | null;
  rps: number | null;
  latency_seconds: Latency | null;
  tcp_open_connections: number | null;
  tcp_read_bytes_per_second: number | null;
  tcp_written_bytes_per_second: number | null;
  totals: { success: number; failure: number; cancelled: number } | null;
  status: string;
  note: string;
}

export interface Stat {
  window_seconds: number;
  rows: Row[];
  warnings: string[];
}

/** What a stream of rows sends: all of them first, then those that changed and those that are gone. */
export interface Pushed extends Stat {
  removed?: Ref[];
}

/** The rows held, with what was pushed. */
export function merge(held: Stat | null, news: Pushed): Stat {
  if (!held) return news;
  const rows = new Map(held.rows.map((row) => [key(row), row]));
  for (const row of news.rows) rows.set(key(row), row);
  for (const gone of news.removed ?? []) rows.delete(key(gone));
  return { ...news, rows: [...rows.values()] };
}

export function key(ref: Ref): string {
  return `${ref.namespace}/${ref.kind}/${ref.name}`;
}

export interface Edge {
  src: Ref;
  dst: Ref;
  client_id: string;
  server_id: string;
  tls: string;
  reason: string;
  rps: number | null;
  success: number | null;
  tcp_open_connections: number | null;
}

export interface Edges {
  window_seconds: number;
  rows: Edge[];
  warnings: string[];
}

export interface Topology {
  window_seconds: number;
  nodes: Row[];
  edges: Edge[];
  warnings: string[];
}

export interface Route {
  route: string;
  service: Ref;
  success: number | null;
  rps: number | null;
  latency_seconds: Latency | null;
}

export interface Balancer {
  client: Ref;
  service: Ref;
  in_use: number;
  left_out: number;
  trips: Record<string, number>;
  /** Pods, or addresses that are no pod's. */
  endpoints_left_out: string[];
}

export interface PodDetail {
  row: Row;
  ready: boolean;
  restarts: number;
  node: string;
  created: string;
  proxy_version: string;
  expiry_timestamp_seconds: number | null;
  /** `open` or `closed`; null: no client is known to have one. */
  breaker: string | null;
  /** Clients whose breaker for it is open. */
  left_out_by: Ref[];
}

export interface Workload {
  window_seconds: number;
  row: Row;
  pods: PodDetail[];
  edges: Edge[];
  routes: Route[];
  balancers: Balancer[];
  identities: string[];
  warnings: string[];
}

export interface History {
  timestamps_seconds: number[];
  success: (number | null)[];
  rps: (number | null)[];
  p50_seconds: (number | null)[];
  p95_seconds: (number | null)[];
  p99_seconds: (number | null)[];
  markers: Marker[];
  warnings: string[];
}

export interface Marker {
  timestamp_seconds: number;
  text: string;
}

export interface Problem {
  id: string;
  severity: "critical" | "warning";
  namespace: string;
  title: string;
  cause: string;
  evidence: string[];
  hint: string;
  link: string;
}

export interface Problems {
  window_seconds: number;
  problems: Problem[];
  workloads: number;
  warnings: string[];
}

export interface Identities {
  window_seconds: number;
  trust_domain: string;
  anchors: { subject: string; not_after_timestamp_seconds: number; sha256: string }[];
  issuer_expiry_timestamp_seconds: number | null;
  rows: { id: string; namespace: string; service_account: string; pods: number; expiry_timestamp_seconds: number | null }[];
  plain: Edge[];
  warnings: string[];
}

export interface Check {
  id: string;
  category: string;
  name: string;
  result: string;
  message: string;
  hint: string;
}

export interface Version {
  version: string;
  grafana_url: string | null;
  tap: boolean;
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
  /** What would have denied it, were policies in audit enforced. */
  audited: string;
  /** How many that match were left out before this one, because of the rate. */
  skipped: number;
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

const TOKEN = "weft-token";

/** Keeps the Kubernetes token that an exposed server asks for, until the tab is closed. */
export function useToken(token: string): void {
  sessionStorage.setItem(TOKEN, token.trim());
}

async function ask(path: string, query: Query, signal?: AbortSignal): Promise<Response> {
  const token = sessionStorage.getItem(TOKEN);
  const response = await fetch(url(path, query), { headers: token ? { Authorization: `Bearer ${token}` } : {}, signal });
  if (response.status === 401) window.dispatchEvent(new Event("weft-token-wanted"));
  return response;
}

async function refusal(response: Response): Promise<string> {
  const body = await response.json().catch(() => ({}));
  return sentence(body.error) || `the server answered ${response.status}`;
}

function sentence(error?: { message?: string; hint?: string }): string {
  return [error?.message, error?.hint].filter(Boolean).join(". ");
}

/** The server refused a question. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** One answer; a Refusal that carries the server's message and hint when it refuses. */
export async function get<T>(path: string, query: Query = {}): Promise<T> {
  const response = await ask(path, query);
  if (!response.ok) throw new Refusal(response.status, await refusal(response));
  return (await response.json()) as T;
}

export interface Listener<T> {
  onData: (data: T) => void;
  /** Hears whether the stream is connected. */
  onState: (connected: boolean) => void;
  /** Hears why the server refused the question, for good; or could not go on, and is asked again. */
  onFailure?: (message: string) => void;
}

const RETRY_MS = [500, 1000, 2000, 5000];

/** The server cannot go on with a stream, for now. */
class Broken extends Error {}

/**
 * Server-sent events; returns how to stop. By fetch, not EventSource: that can send no token and sees no status.
 *
 * While nobody sees the page it ends, but for `unseen`: browsers open six connections to a server for all tabs together,
 * and a seventh would wait for ever.
 */
export function stream<T>(path: string, query: Query, listener: Listener<T>, unseen = false): () => void {
  let abort: AbortController | undefined;
  function look(): void {
    if (document.hidden && !unseen) {
      abort?.abort();
      abort = undefined;
    } else if (!abort) {
      abort = new AbortController();
      void keep(path, query, listener, abort.signal);
    }
  }
  look();
  document.addEventListener("visibilitychange", look);
  return () => {
    document.removeEventListener("visibilitychange", look);
    abort?.abort();
  };
}

async function keep<T>(path: string, query: Query, listener: Listener<T>, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      const response = await ask(path, query, signal);
      if (forGood(response.status)) return listener.onFailure?.(await refusal(response));
      if (!response.ok || !response.body) throw new Broken(await refusal(response));
      listener.onState(true);
      for await (const event of events(response.body)) {
        const data = JSON.parse(event.data);
        if (event.type === "failure") throw new Broken(sentence(data.error));
        attempt = 0;
        listener.onData(data as T);
      }
    } catch (error) {
      // Of anything else, `onState` tells enough: the connection is lost.
      if (error instanceof Broken) listener.onFailure?.(`${error.message}. Trying again…`);
    }
    if (signal.aborted) return;
    listener.onState(false);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
  }
}

/** Whether asking again would be refused again; 429 is about other streams of the user. */
function forGood(status: number): boolean {
  return status >= 400 && status < 500 && status !== 429;
}

/** Events of a body, as the HTML standard's event stream has them, comments left out. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<{ type: string; data: string }> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const field = (name: string) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field("data");
        if (data !== undefined) yield { type: field("event") ?? "message", data };
      }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}
