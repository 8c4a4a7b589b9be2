// What is wrong, worst first: from the stats of all workloads and the health checks.
import type { Check, Stat } from "./api";
import { health, percent } from "./format";

export interface Problem {
  severity: number;
  title: string;
  detail: string;
  href: string;
}

export function workloadPath(w: { namespace: string; kind: string; name: string }): string {
  return `/namespaces/${w.namespace}/${w.kind}/${w.name}`;
}

export function problems(rows: Stat[], checks: Check[]): Problem[] {
  const failing = checks
    .filter((c) => c.result !== "success")
    .map((c) => ({ severity: c.result === "error" ? 3 : 1, title: c.name, detail: c.message, href: "/health" }));
  const unwell = rows
    .filter((r) => ["warn", "bad"].includes(health(r.success)))
    .map((r) => ({
      severity: 2 + (1 - (r.success ?? 1)),
      title: `${r.kind}/${r.name} in ${r.namespace}: ${percent(r.success)} of its answers are good`,
      detail: `${r.totals.failure} failures counted so far. Open it and look at its live calls: the failing path stands out.`,
      href: workloadPath(r),
    }));
  return [...failing, ...unwell].sort((a, b) => b.severity - a.severity);
}
