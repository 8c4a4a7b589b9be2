// Preloaded into one process: its wall clock is wrong by CLOCK_OFFSET seconds; the monotonic one is not.
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && clock == CLOCK_REALTIME) now->tv_sec += atoi(getenv("CLOCK_OFFSET"));
  return failed;
}
