#!/bin/bash
# Have these Debian packages: installed where we may, named where we may not. They are wanted for their programs, so no
# service of theirs is started.
. "$(dirname "$0")/../lib.sh"
exec 9>"$STATE/debs.lock"
flock 9
policy=/usr/sbin/policy-rc.d
if is_root && command -v dpkg-query >/dev/null && [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
fi
debs "$@"
