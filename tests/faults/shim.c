/*
 * Faults of the file system, for tests: counts the operations that a process makes on regular files
 * below one folder, and at one of them kills the process, fails, or waits. Loaded with LD_PRELOAD
 * into the real binary; knows nothing of what it does.
 *
 *   FAULT_FOLDER  the folder, an absolute path without symbolic links
 *   FAULT_LOG     a file outside of it, to which each operation is appended: "NUMBER NAME PATH"
 *   FAULT_AT      the number of the operation, from 1; 0 or absent: none
 *   FAULT_ACTION  before    killed before it
 *                 after     killed after it
 *                 torn      a write: killed after the first half of it; else as before
 *                 eio       it fails with EIO        eio-on     and all that follow
 *                 enospc    it fails with ENOSPC     enospc-on  and all that follow
 *                 delay-on  waits 2 ms, and before all that follow
 *
 * What is counted: write, pwrite, pwritev, writev, fsync, fdatasync, ftruncate, rename, unlink,
 * link, mkdir, in all their spellings. Opening, reading and mapping are not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum action { NONE, BEFORE, AFTER, TORN, FAIL, FAIL_ON, DELAY_ON };
/* What is to be done with the operation at hand. */
enum verdict { PASS, KILL_AFTER, TEAR, ERROR };

static const char *folder;
static size_t folder_length;
static int log_fd = -1;
static long fault_at;
static enum action action;
static int fault_errno;
static atomic_long counted;

static const struct { const char *name; enum action action; int error; } ACTIONS[] = {
  {"before", BEFORE, 0}, {"after", AFTER, 0}, {"torn", TORN, 0},
  {"eio", FAIL, EIO}, {"eio-on", FAIL_ON, EIO},
  {"enospc", FAIL, ENOSPC}, {"enospc-on", FAIL_ON, ENOSPC},
  {"delay-on", DELAY_ON, 0},
};

__attribute__((constructor)) static void begin(void) {
  const char *log = getenv("FAULT_LOG"), *at = getenv("FAULT_AT"), *want = getenv("FAULT_ACTION");
  folder = getenv("FAULT_FOLDER");
  folder_length = folder ? strlen(folder) : 0;
  fault_at = at ? atol(at) : 0;
  for (size_t i = 0; want && i < sizeof ACTIONS / sizeof *ACTIONS; i++)
    if (strcmp(want, ACTIONS[i].name) == 0) {
      action = ACTIONS[i].action;
      fault_errno = ACTIONS[i].error;
    }
  /* Not one of the low numbers, and not inherited. */
  int fd = log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
  if (fd >= 0) {
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    close(fd);
  }
}

static int is_below(const char *path) {
  return folder_length > 0 && strncmp(path, folder, folder_length) == 0
    && (path[folder_length] == '/' || path[folder_length] == 0);
}

/* The absolute path of a name; what "." and ".." mean is left as it is. */
static void absolute(int dir, const char *name, char *path) {
  char base[PATH_MAX], link[64];
  ssize_t length = 0;
  if (name[0] != '/') {
    if (dir == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    length = readlink(link, base, sizeof base - 1);
  }
  base[length > 0 ? length : 0] = 0;
  if (snprintf(path, PATH_MAX, "%s%s%s", base, length > 0 ? "/" : "", name) >= PATH_MAX)
    path[0] = 0;
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/* Counts one operation below the folder, and says what is to become of it. */
static enum verdict next(const char *name, const char *path) {
  char line[PATH_MAX + 64];
  long n = atomic_fetch_add(&counted, 1) + 1;
  int length = snprintf(line, sizeof line, "%ld %s %s\n", n, name, path);
  if (log_fd >= 0 && length > 0) (void)!syscall(SYS_write, log_fd, line, (size_t)length);
  if (fault_at <= 0 || n < fault_at) return PASS;
  if (action == DELAY_ON) {
    const struct timespec wait = {0, 2000000};
    nanosleep(&wait, NULL);
    return PASS;
  }
  if (action == FAIL_ON) return ERROR;
  if (n > fault_at) return PASS;
  switch (action) {
    case BEFORE: die(); return PASS;
    case AFTER: return KILL_AFTER;
    case TORN: return TEAR;
    case FAIL: return ERROR;
    default: return PASS;
  }
}

static enum verdict next_of_fd(const char *name, int fd) {
  struct stat seen;
  char link[64], path[PATH_MAX];
  int saved = errno;
  enum verdict verdict = PASS;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length > 0 && fstat(fd, &seen) == 0 && (S_ISREG(seen.st_mode) || S_ISDIR(seen.st_mode))) {
    path[length] = 0;
    if (is_below(path)) verdict = next(name, path);
  }
  errno = saved;
  return verdict;
}

static enum verdict next_of_path(const char *name, int dir, const char *given) {
  char path[PATH_MAX];
  int saved = errno;
  absolute(dir, given, path);
  enum verdict verdict = is_below(path) ? next(name, path) : PASS;
  errno = saved;
  return verdict;
}

/* The function of that name in the C library. */
#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* The body of an operation without data: `call` is it. */
#define WHOLE(verdict, call) \
  switch (verdict) { \
    case ERROR: errno = fault_errno; return -1; \
    case TEAR: die(); return -1; \
    case KILL_AFTER: (void)!(call); die(); return -1; \
    default: return call; \
  }

/* The body of a write: `half` writes the first half of it. */
#define WRITE(verdict, call, half) \
  switch (verdict) { \
    case ERROR: errno = fault_errno; return -1; \
    case TEAR: (void)!(half); die(); return -1; \
    case KILL_AFTER: (void)!(call); die(); return -1; \
    default: return call; \
  }

ssize_t write(int fd, const void *data, size_t n) {
  REAL(write);
  WRITE(next_of_fd("write", fd), real(fd, data, n), real(fd, data, n / 2))
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
  REAL(pwrite);
  WRITE(next_of_fd("pwrite", fd), real(fd, data, n, at), real(fd, data, n / 2, at))
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
  REAL(pwrite64);
  WRITE(next_of_fd("pwrite", fd), real(fd, data, n, at), real(fd, data, n / 2, at))
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
  REAL(writev);
  WRITE(next_of_fd("writev", fd), real(fd, parts, n), real(fd, parts, n / 2))
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) {
  REAL(pwritev);
  WRITE(next_of_fd("pwritev", fd), real(fd, parts, n, at), real(fd, parts, n / 2, at))
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) {
  REAL(pwritev64);
  WRITE(next_of_fd("pwritev", fd), real(fd, parts, n, at), real(fd, parts, n / 2, at))
}

int fsync(int fd) { REAL(fsync); WHOLE(next_of_fd("fsync", fd), real(fd)) }

int fdatasync(int fd) { REAL(fdatasync); WHOLE(next_of_fd("fsync", fd), real(fd)) }

int ftruncate(int fd, off_t n) { REAL(ftruncate); WHOLE(next_of_fd("ftruncate", fd), real(fd, n)) }

int ftruncate64(int fd, off64_t n) {
  REAL(ftruncate64);
  WHOLE(next_of_fd("ftruncate", fd), real(fd, n))
}

int rename(const char *from, const char *to) {
  REAL(rename);
  WHOLE(next_of_path("rename", AT_FDCWD, to), real(from, to))
}

int renameat(int dir, const char *from, int to_dir, const char *to) {
  REAL(renameat);
  WHOLE(next_of_path("rename", to_dir, to), real(dir, from, to_dir, to))
}

int renameat2(int dir, const char *from, int to_dir, const char *to, unsigned flags) {
  REAL(renameat2);
  WHOLE(next_of_path("rename", to_dir, to), real(dir, from, to_dir, to, flags))
}

int unlink(const char *path) {
  REAL(unlink);
  WHOLE(next_of_path("unlink", AT_FDCWD, path), real(path))
}

int unlinkat(int dir, const char *path, int flags) {
  REAL(unlinkat);
  WHOLE(next_of_path("unlink", dir, path), real(dir, path, flags))
}

int link(const char *from, const char *to) {
  REAL(link);
  WHOLE(next_of_path("link", AT_FDCWD, to), real(from, to))
}

int linkat(int dir, const char *from, int to_dir, const char *to, int flags) {
  REAL(linkat);
  WHOLE(next_of_path("link", to_dir, to), real(dir, from, to_dir, to, flags))
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  WHOLE(next_of_path("mkdir", AT_FDCWD, path), real(path, mode))
}

int mkdirat(int dir, const char *path, mode_t mode) {
  REAL(mkdirat);
  WHOLE(next_of_path("mkdir", dir, path), real(dir, path, mode))
}
