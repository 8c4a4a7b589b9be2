import { describe, expect, it } from "vitest";
import { type Exchange, merge, type Stat } from "./api";
import { health, identity, microseconds, percent, seconds } from "./format";
import { problems } from "./problems";
import { add, sorted, type TopRow } from "./top";

const exchange = (fields: Partial<Exchange>): Exchange => ({
  id: 1, started_us: 0, direction: "inbound", source: "10.0.0.1:5000", destination: "10.0.0.2:80", tls: "true", peer_identity: "",
  method: "GET", authority: "web", path: "/", status: 200, grpc_status: -1, result: "success", latency_us: 1000, duration_us: 1000,
  route: "", dst_namespace: "", dst_service: "", dst_workload: "", error: "", pod: "web-1", namespace: "shop",
  request_headers: [], response_headers: [], ...fields,
});

const stat = (fields: Partial<Stat>): Stat => ({
  namespace: "shop", kind: "deployment", name: "web", meshed: { pods: 1, running: 1 }, success: 1, rps: 1, latency_seconds: null,
  tcp_open_connections: 0, tcp_read_bytes_per_second: 0, tcp_written_bytes_per_second: 0, totals: { success: 1, failure: 0, cancelled: 0 }, note: "", ...fields,
});

describe("format", () => {
  it("shows what is not known as a dash, never as zero", () => {
    expect([percent(null), seconds(null), health(null)]).toEqual(["–", "–", "none"]);
  });
  it("keeps two digits of a success rate, so 99.99 % is not 100 %", () => {
    expect(percent(0.9999)).toBe("99.99 %");
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
    expect(row).toMatchObject({ count: 2, success: 1, best: 1000, worst: 3000, last: 3000 });
  });
  it("gives a changed row as a new object, so that the page redraws it", () => {
    const rows = new Map<string, TopRow>();
    add(rows, exchange({}));
    const [before] = sorted(rows);
    add(rows, exchange({}));
    expect(sorted(rows)[0]).not.toBe(before);
    expect(before?.count).toBe(1);
  });
  it("never holds more rows than its limit", () => {
    const rows = new Map<string, TopRow>();
    for (let i = 0; i < 20; i += 1) add(rows, exchange({ path: `/${i}` }), 5);
    expect(rows.size).toBe(5);
  });
});

describe("problems", () => {
  it("names nothing on a healthy system", () => {
    expect(problems([stat({})], [{ id: "a", name: "a", result: "success", message: "" }])).toEqual([]);
  });
  it("puts the worst success rate before a milder one", () => {
    const found = problems([stat({ name: "mild", success: 0.94 }), stat({ name: "bad", success: 0.5 })], []);
    expect(found.map((p) => p.href)).toEqual(["/namespaces/shop/deployment/bad", "/namespaces/shop/deployment/mild"]);
  });
});

describe("merge", () => {
  it("replaces changed rows, adds new ones and drops those that are gone", () => {
    const held = { window_seconds: 60, rows: [stat({ name: "a" }), stat({ name: "b" })] };
    const removed = [{ namespace: "shop", kind: "deployment", name: "a" }];
    const rows = merge(held, { window_seconds: 60, rows: [stat({ name: "b", rps: 7 }), stat({ name: "c" })], removed }).rows;
    expect(rows.map((row) => [row.name, row.rps])).toEqual([["b", 7], ["c", 1]]);
  });
});
