"""How a pod gets its proxy: which pods, by which options, with what patch. Pure; the injector and the CLI use it."""
