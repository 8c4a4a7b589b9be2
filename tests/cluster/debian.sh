#!/bin/bash
# Make, once, a small Debian root file system from packages alone, and print the archive's path: the base of every image
# where none can be pulled.
. "$(dirname "$0")/lib.sh"
OUT=$CACHE/debian-$(recipe debian.sh).tar
if [ ! -e "$OUT" ]; then
  debs mmdebstrap
  say "making a Debian base (half a minute)"
  logged mmdebstrap mmdebstrap --variant=apt --include=ca-certificates,conntrack,iptables,iproute2,nftables \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$OUT.new.tar"
  mv "$OUT.new.tar" "$OUT"
fi
echo "$OUT"
