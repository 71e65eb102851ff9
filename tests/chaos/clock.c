/* The clock of a machine that was set: for every process that loads this before the C library, the time of day
 * differs from the kernel's by as many seconds as the file named by CHAOS_CLOCK holds, from the moment they are
 * written. The monotonic clock goes on and nobody's sleep ends, as where the machine's clock itself is set.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shared;

__attribute__((constructor)) static void join(void)
{
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED)
        shared = map;
    if (file >= 0)
        close(file);
}

static int64_t ahead(void) { return shared ? *shared : 0; }

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed && now)
        now->tv_sec += ahead();
    return failed;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* Its deadline is a time of day (multiprocessing waits so), which the kernel would compare with its own. */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    int (*wait)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec real = *until;
    real.tv_sec -= ahead();
    return wait(semaphore, &real);
}
