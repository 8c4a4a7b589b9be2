import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  build: { outDir: "dist", assetsInlineLimit: 0 },
  // `npm run dev` beside `weft viz dashboard`, which forwards web to this port
  server: { proxy: { "/api": "http://127.0.0.1:50750" } },
});
