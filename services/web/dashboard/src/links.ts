// Where things are: pages of the dashboard, Grafana's dashboards, and names as people type them.
import type { Ref } from "./api";

/** Kinds of workloads that maps and identities are about, as the command line has them. */
export const WORKLOADS = ["deploy", "sts", "ds", "cj"];

const SHORT: Record<string, string> = {
  namespace: "ns",
  deployment: "deploy",
  statefulset: "sts",
  daemonset: "ds",
  replicaset: "rs",
  cronjob: "cj",
  pod: "po",
  service: "svc",
};

export function short(kind: string): string {
  return SHORT[kind] ?? kind;
}

/** The page of an object. */
export function page(ref: Ref): string {
  return ref.kind === "namespace" ? `/namespaces/${ref.name}` : `/namespaces/${ref.namespace}/${ref.kind}/${ref.name}`;
}

/** An object's name seen from a namespace: with its own where that is another. */
export function label(ref: Ref, near = ""): string {
  if (!ref.name) return "outside the mesh";
  return ref.namespace === near || ref.kind === "namespace" ? ref.name : `${ref.namespace}/${ref.name}`;
}

/** An object's board; null where there is none. */
export function grafana(base: string, ref: Ref): string | null {
  const query = (values: Record<string, string>) => new URLSearchParams(values).toString();
  if (ref.kind === "namespace") return `${base}/d/weft-namespace?${query({ "var-namespace": ref.name })}`;
  // Boards know no ReplicaSets nor Jobs: proxies tell of the workload that has them.
  if (!["pod", "service", "deployment", "statefulset", "daemonset", "cronjob"].includes(ref.kind)) return null;
  if (ref.kind === "pod") return `${base}/d/weft-pod?${query({ "var-namespace": ref.namespace, "var-pod": ref.name })}`;
  if (ref.kind === "service") return `${base}/d/weft-service?${query({ "var-namespace": ref.namespace, "var-service": ref.name })}`;
  return `${base}/d/weft-workload?${query({ "var-namespace": ref.namespace, "var-kind": ref.kind, "var-workload": ref.name })}`;
}
