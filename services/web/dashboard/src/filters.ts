// What can be tapped and by which filters: as parameters of the API and on the command line.
import type { Query } from "./api";

export interface Filter {
  /** As the API calls it; the command's option has hyphens. */
  name: string;
  label: string;
  example: string;
  size: number;
}

/** The filters of `weft viz tap`. */
export const FILTERS: Filter[] = [
  { name: "method", label: "Method", example: "any", size: 6 },
  { name: "path", label: "Path starts with", example: "/", size: 16 },
  { name: "authority", label: "Authority", example: "any", size: 12 },
  { name: "status", label: "Status", example: "5xx", size: 7 },
  { name: "min_latency", label: "Slower than", example: "200ms", size: 6 },
  { name: "header", label: "Header", example: "name=value", size: 12 },
  { name: "identity", label: "Identity of the peer", example: "spiffe://…", size: 16 },
  { name: "to", label: "To", example: "deploy/menu", size: 12 },
  { name: "to_namespace", label: "To namespace", example: "any", size: 10 },
  { name: "direction", label: "Direction", example: "inbound", size: 8 },
  { name: "max_rps", label: "At most a second", example: "100", size: 6 },
];

/** "deploy/counter" as query parameters; the whole namespace when empty. What the server does not understand it says. */
export function resourceQuery(namespace: string, resource: string): Query {
  const [kind = "", ...name] = resource.split("/");
  if (/^(|ns|namespaces?)$/i.test(kind)) return { namespace: name.join("/") || namespace, kind: "namespace" };
  return { namespace, kind, name: name.join("/") };
}

/** The same on the command line. */
export function command(page: "tap" | "top", form: Record<string, string>): string {
  const options = FILTERS.filter(({ name }) => form[name]).map(({ name }) => `--${name.replaceAll("_", "-")} ${quoted(form[name] ?? "")}`);
  return [`weft -n ${form.namespace} viz ${page} ${form.resource || `ns/${form.namespace}`}`, ...options].join(" ");
}

function quoted(text: string): string {
  return /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export interface TapStatus {
  pods: number;
  unmeshed: number;
  /** Why a proxy cannot be listened to, by pod. */
  failing: Record<string, string>;
}

export function notice({ pods, unmeshed, failing }: TapStatus): string {
  const [first, ...others] = Object.entries(failing);
  const deaf = first && `The proxy of ${first[0]} cannot be listened to: ${first[1]}${others.length ? `; nor can ${others.length} more` : ""}.`;
  return [coverage(pods, unmeshed), deaf].filter(Boolean).join(" ");
}

function coverage(pods: number, unmeshed: number): string {
  if (pods === 0 && unmeshed === 0) return "There are no running pods to listen to.";
  if (pods === 0) return `None of its ${unmeshed} pods is in the mesh, so nothing can be seen: weft inject it.`;
  return unmeshed ? `${unmeshed} of its ${pods + unmeshed} pods are not in the mesh: their requests are not seen.` : "";
}
