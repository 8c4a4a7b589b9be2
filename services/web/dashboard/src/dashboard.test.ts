import { afterEach, describe, expect, it, vi } from "vitest";
import { type Edge, events, type Exchange, key, merge, type Row, stream } from "./api";
import { bytesPerSecond, health, identity, lately, left, microseconds, percent, quantile, rate, seconds, shares } from "./format";
import { draw, type Drawing, type Places, thickness } from "./layout";
import { command, notice, resourceQuery } from "./filters";
import { direction, matching, ordered } from "./order";
import { add, sorted, type TopRow } from "./top";

const exchange = (fields: Partial<Exchange>): Exchange => ({
  id: 1, started_us: 0, direction: "inbound", source: "10.0.0.1:5000", destination: "10.0.0.2:80", tls: "true", peer_identity: "",
  method: "GET", authority: "web", path: "/", status: 200, grpc_status: -1, result: "success", latency_us: 1000, duration_us: 1000,
  route: "", dst_namespace: "", dst_service: "", dst_workload: "", error: "", audited: "", skipped: 0, pod: "web-1", namespace: "shop",
  request_headers: [], response_headers: [], ...fields,
});

const row = (fields: Partial<Row>): Row => ({
  namespace: "shop", kind: "deployment", name: "web", meshed: { pods: 1, running: 1 }, success: 1, rps: 1, latency_seconds: null,
  tcp_open_connections: 0, tcp_read_bytes_per_second: 0, tcp_written_bytes_per_second: 0, totals: { success: 1, failure: 0, cancelled: 0 },
  status: "", note: "", ...fields,
});

const ref = (name: string) => ({ namespace: "shop", kind: "deployment", name });
const edge = (src: string, dst: string, rps = 1): Edge => ({
  src: ref(src), dst: ref(dst), client_id: "", server_id: "", tls: "true", reason: "", rps, success: 1, tcp_open_connections: 1,
});

describe("format", () => {
  it("shows what is not known as a dash, never as zero", () => {
    expect([percent(null), seconds(null), health(null)]).toEqual(["–", "–", "none"]);
  });
  it("never rounds a failure away", () => {
    expect([percent(0.9999), percent(0.9999999), percent(1)]).toEqual(["99.99 %", "99.99 %", "100.00 %"]);
  });
  it("does not show what is little as nothing, nor as more than it is", () => {
    expect([rate(0), rate(0.01), rate(0.05)]).toEqual(["0.0/s", "<0.1/s", "0.1/s"]);
    expect([seconds(0), seconds(0.0004), seconds(0.0016)]).toEqual(["0 ms", "<1 ms", "2 ms"]);
    expect([bytesPerSecond(0), bytesPerSecond(0.3), bytesPerSecond(1200)]).toEqual(["0 B/s", "<1 B/s", "1.2 kB/s"]);
  });
  it("says when a latency is longer than proxies measure", () => {
    const latency = { p50: 0.25, p95: 10, p99: 10, at_least: ["p99"] };
    expect([quantile(latency, "p50"), quantile(latency, "p95"), quantile(latency, "p99")]).toEqual(["250 ms", "10.00 s", ">10.00 s"]);
    expect(quantile(null, "p50")).toBe("–");
  });
  it("says which time the numbers are over", () => {
    expect([60, 600, 45].map(lately)).toEqual(["in the last minute", "in the last 10 min", "in the last 45 s"]);
  });
  it("knows a pod's share only while every pod in the mesh tells", () => {
    const [idle, silent, outside] = [row({ rps: 0 }), row({ rps: null }), row({ rps: null, meshed: { pods: 0, running: 1 } })];
    expect(shares([row({ rps: 3 }), row({ rps: 1 }), idle])).toEqual(["75 %", "25 %", "0 %"]);
    expect(shares([row({ rps: 3 }), outside])).toEqual(["100 %", "–"]);
    expect(shares([row({ rps: 3 }), silent])).toEqual(["–", "–"]);
    expect(shares([idle])).toEqual(["–"]);
  });
  it("shortens an identity to namespace and service account", () => {
    expect(identity("spiffe://cluster.local/ns/shop/sa/web")).toBe("shop/web");
  });
  it("shows microseconds below a millisecond", () => {
    expect([microseconds(250), microseconds(2500)]).toEqual(["250 µs", "3 ms"]);
  });
});

describe("top", () => {
  it("adds up calls by source, destination, method and path", () => {
    const rows = new Map<string, TopRow>();
    add(rows, exchange({ latency_us: 1000 }));
    add(rows, exchange({ latency_us: 3000, result: "failure" }));
    const [row] = sorted(rows);
    expect(row).toMatchObject({ count: 2, success: 1, judged: 2, best: 1000, worst: 3000, last: 3000 });
  });
  it("tells namesakes of different namespaces apart", () => {
    const rows = new Map<string, TopRow>();
    for (const space of ["shop", "bank"]) add(rows, exchange({ direction: "outbound", dst_namespace: space, dst_workload: "db" }));
    expect(sorted(rows).map((one) => one.destination).sort()).toEqual(["bank/db", "db"]);
  });
  it("gives a changed row as a new object, so that the page redraws it", () => {
    const rows = new Map<string, TopRow>();
    add(rows, exchange({}));
    const [before] = sorted(rows);
    add(rows, exchange({}));
    expect(sorted(rows)[0]).not.toBe(before);
    expect(before?.count).toBe(1);
  });
  it("judges neither what was cancelled nor what was denied", () => {
    const rows = new Map<string, TopRow>();
    for (const result of ["success", "cancelled", "denied"]) add(rows, exchange({ result }));
    expect(sorted(rows)[0]).toMatchObject({ count: 3, success: 1, judged: 1 });
  });
  it("holds so many rows, counts on in them, and says what is left out", () => {
    const rows = new Map<string, TopRow>();
    const taken = ["/1", "/2", "/3", "/1"].map((path) => add(rows, exchange({ path }), 2));
    expect(taken).toEqual([true, true, false, true]);
    expect(sorted(rows).map((one) => [one.path, one.count])).toEqual([["/1", 2], ["/2", 1]]);
  });
});

describe("rows", () => {
  const rows = [
    row({ name: "idle", rps: null, success: null }),
    row({ name: "web", rps: 9, success: 0.99 }),
    row({ name: "db", rps: 5, success: 0.5, latency_seconds: { p50: 1, p95: 2, p99: 3, at_least: [] } }),
    row({ name: "cache", rps: 5, success: 1 }),
  ];
  const names = (by: string) => ordered(rows, by).map((one) => one.name);
  it("are the busiest first, by name where they are alike, those without numbers last", () => {
    expect(names("rps")).toEqual(["web", "cache", "db", "idle"]);
    expect(names("no such column")).toEqual(names("rps"));
  });
  it("have the worst success first, the longest latency, and each the other way round", () => {
    expect([names("success"), names("-success")]).toEqual([["db", "web", "cache", "idle"], ["cache", "web", "db", "idle"]]);
    expect([names("p99")[0], names("-rps"), names("-name")[0]]).toEqual(["db", ["cache", "db", "web", "idle"], "web"]);
  });
  it("tell a screen reader the direction", () => {
    expect([direction("rps", "rps"), direction("rps", "-rps"), direction("success", "success"), direction("name", "rps")]).toEqual([
      "descending", "ascending", "ascending", undefined,
    ]);
  });
  it("are left by a part of their names", () => {
    expect(matching(rows, " DB").map((one) => one.name)).toEqual(["db"]);
    expect(matching(rows, "")).toHaveLength(4);
  });
});

describe("merge", () => {
  it("replaces changed rows, adds new ones and drops those that are gone", () => {
    const held = { window_seconds: 60, rows: [row({ name: "a" }), row({ name: "b" })], warnings: [] };
    const news = { ...held, rows: [row({ name: "b", rps: 7 }), row({ name: "c" })], removed: [ref("a")] };
    expect(merge(held, news).rows.map((one) => [one.name, one.rps])).toEqual([["b", 7], ["c", 1]]);
  });
});

describe("events", () => {
  const body = (...chunks: string[]) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
        controller.close();
      },
    });
  const all = async (stream: ReadableStream<Uint8Array>) => {
    const found = [];
    for await (const event of events(stream)) found.push(event);
    return found;
  };
  it("are read whatever way they are cut, comments left out", async () => {
    const found = await all(body(": still here\n\nda", 'ta: {"a":1}\n', "\nevent: failure\ndata: x\n\n"));
    expect(found).toEqual([{ type: "message", data: '{"a":1}' }, { type: "failure", data: "x" }]);
  });
});

describe("a stream", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
  const failure = 'event: failure\ndata: {"error":{"message":"no answer","hint":""}}\n\n';
  const refused = (status: number) => new Response('{"error":{"message":"no","hint":""}}', { status });

  /** What a listener hears of these answers; of each wait, that it ended. */
  async function heard(...answers: Response[]): Promise<unknown[]> {
    vi.useFakeTimers();
    const found: unknown[] = [];
    vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }));
    vi.stubGlobal("sessionStorage", { getItem: () => null });
    vi.stubGlobal("window", { dispatchEvent: (event: Event) => found.push(event.type) });
    vi.stubGlobal("fetch", async () => answers.shift() ?? new Promise(() => {}));
    const listener = { onData: (data: unknown) => found.push(data), onState: (up: boolean) => found.push(up), onFailure: (why: string) => found.push(why) };
    const stop = stream("stat/stream", {}, listener);
    await vi.advanceTimersByTimeAsync(10_000);
    stop();
    return found;
  }

  it("that breaks off is opened again, and tells why it is not there", async () => {
    const found = await heard(new Response(`data: 1\n\n${failure}`), refused(503), refused(429), new Response("data: 2\n\n"));
    const again = ["no. Trying again…", false];
    expect(found).toEqual([true, 1, "no answer. Trying again…", false, ...again, ...again, true, 2, false]);
  });
  it("is not opened again when the question is refused", async () => {
    expect(await heard(refused(403), new Response("data: 2\n\n"))).toEqual(["no"]);
  });
  it("whose token ends asks for one", async () => {
    expect(await heard(new Response(failure), refused(401))).toEqual([true, "no answer. Trying again…", false, "weft-token-wanted", "no"]);
  });
});

describe("a page that nobody sees", () => {
  afterEach(() => vi.unstubAllGlobals());
  const listener = { onData: () => {}, onState: () => {} };

  /** How many streams it holds open: hidden from the start, seen, hidden, seen, left. */
  function open(unseen: boolean): number[] {
    const page = Object.assign(new EventTarget(), { hidden: true });
    const held: AbortSignal[] = [];
    vi.stubGlobal("document", page);
    vi.stubGlobal("sessionStorage", { getItem: () => null });
    vi.stubGlobal("fetch", async (_: string, { signal }: { signal: AbortSignal }) => {
      held.push(signal);
      return new Promise(() => {});
    });
    const count = () => held.filter((signal) => !signal.aborted).length;
    const stop = stream("stat/stream", {}, listener, unseen);
    const counts = [count()];
    for (const hidden of [false, true, false]) {
      page.hidden = hidden;
      page.dispatchEvent(new Event("visibilitychange"));
      counts.push(count());
    }
    stop();
    return [...counts, count()];
  }

  it("leaves its connections to others, but for a tap that goes on", () => {
    expect(open(false)).toEqual([0, 1, 0, 1, 0]);
    expect(open(true)).toEqual([1, 1, 1, 1, 0]);
  });
});

describe("map", () => {
  it("stands callers left of whom they call, and the same each time", () => {
    const edges = [edge("web", "menu"), edge("menu", "kettle"), edge("web", "kettle")];
    const x = (drawing: ReturnType<typeof draw>) => Object.fromEntries(drawing.nodes.map((node) => [node.ref.name, node.x]));
    const first = x(draw([], edges));
    expect(first.web).toBe(0);
    expect(first.menu).toBeLessThan(first.kettle ?? 0);
    expect(x(draw([], edges.toReversed()))).toEqual(first);
  });
  it("keeps what is drawn in its place when an edge goes or comes", () => {
    const edges = [edge("crowd", "web"), edge("web", "menu"), edge("menu", "kettle")];
    const held: Places = new Map();
    const at = (drawing: Drawing) => Object.fromEntries(drawing.nodes.map((node) => [node.ref.name, `${node.x} ${node.y}`]));
    const before = at(draw([], edges, 120, held));
    const { crowd, ...rest } = before;
    expect(at(draw([], edges.slice(1), 120, held))).toEqual(rest);
    const after = at(draw([], [...edges.slice(1), edge("web", "tea"), edge("crowd", "web")], 120, held));
    expect(after).toMatchObject(rest);
    expect(new Set(Object.values(after)).size).toBe(5);
  });
  it("ends with calls in a circle", () => {
    expect(draw([], [edge("a", "b"), edge("b", "a")]).nodes).toHaveLength(2);
  });
  it("draws the busiest when there are too many, and says how many are left", () => {
    const drawing = draw([], [edge("a", "b", 9), edge("c", "d", 1)], 2);
    expect([drawing.nodes.map((node) => node.ref.name).sort(), drawing.left]).toEqual([["a", "b"], 2]);
  });
  it("knows a node's numbers by its row", () => {
    expect(draw([row({ name: "b", rps: 5 })], [edge("a", "b")]).nodes.find((node) => node.id === key(ref("b")))?.row?.rps).toBe(5);
  });
  it("makes lines wider with more requests, within bounds", () => {
    expect(thickness(null)).toBe(1);
    expect(thickness(10)).toBeGreaterThan(thickness(1));
    expect(thickness(1e9)).toBe(8);
  });
});

describe("tap", () => {
  it("is of a resource, or of the namespace when there is none", () => {
    expect(resourceQuery("shop", "deploy/web")).toEqual({ namespace: "shop", kind: "deploy", name: "web" });
    expect(resourceQuery("shop", "")).toEqual({ namespace: "shop", kind: "namespace" });
  });
  it("listens to nothing else than what was written", () => {
    expect(resourceQuery("shop", "ns/bank")).toEqual({ namespace: "bank", kind: "namespace" });
    expect(resourceQuery("shop", "deploy")).toEqual({ namespace: "shop", kind: "deploy", name: "" });
    expect(resourceQuery("shop", "deploy/a/b")).toEqual({ namespace: "shop", kind: "deploy", name: "a/b" });
  });
  it("shows the same command line, quoted where a shell needs it", () => {
    const form = { namespace: "shop", resource: "deploy/web", min_latency: "200ms", header: "a=b c" };
    expect(command("tap", form)).toBe("weft -n shop viz tap deploy/web --min-latency 200ms --header 'a=b c'");
  });
  it("says when nobody can be listened to", () => {
    expect(notice({ pods: 0, unmeshed: 2, failing: {} })).toContain("None of its 2 pods is in the mesh");
    expect(notice({ pods: 2, unmeshed: 0, failing: {} })).toBe("");
    expect(notice({ pods: 2, unmeshed: 0, failing: { "web-1": "refused" } })).toBe("The proxy of web-1 cannot be listened to: refused.");
  });
});

describe("left", () => {
  it("is coarse, and says when it is over", () => {
    expect([left(1060, 1000), left(8200, 1000), left(1e6, 1000), left(1, 1000)]).toEqual(["1 min", "2 h", "11 days", "ended"]);
  });
});
