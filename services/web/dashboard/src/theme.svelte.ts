// Light, dark, or as the system has it.
const KEY = "weft-theme";
const NEXT: Record<string, Theme> = { system: "light", light: "dark", dark: "system" };
export type Theme = "system" | "light" | "dark";

export const theme = $state({ value: read() });

function read(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

function show(): void {
  document.documentElement.dataset.theme = theme.value;
}

export function turn(): void {
  theme.value = NEXT[theme.value] ?? "system";
  localStorage.setItem(KEY, theme.value);
  show();
}

show();
