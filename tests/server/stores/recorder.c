/* What a process does to the files of one folder, in order; preloaded into the process.

   RECORDER_ROOT  the folder; what lies elsewhere is left alone
   RECORDER_LOG   where the record goes: a head, the path, the bytes, one after another
   RECORDER_RULE  "op|part of the path|first|count|what": at the first to first+count-1 th of such
                  operations do what: the number of an error; `before`, `after`, `tear` end the
                  process there with SIGKILL, `tear` after half of the bytes. A part that ends with $
                  is the end of a path, * any path

   One lock is held around each operation and its record, so the order of the record is the order in
   which the kernel was asked. What goes to the standard output is recorded too: whoever reads it was
   told. System calls are made directly, so that nothing here meets itself. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum op { WRITE = 'w', TRUNCATE = 't', SYNC = 's', CREATE = 'c', MKDIR = 'm', RENAME = 'r',
          UNLINK = 'u', LINK = 'l', SAID = 'o', UNKNOWN = '?' };

struct head {
    uint64_t nanoseconds, inode;
    int64_t offset;
    uint32_t path_bytes, data_bytes;
    uint32_t op, unused;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int log_file = -1;
static struct { int op; char part[256]; long first, count, seen; char what[16]; } rule;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORDER_ROOT"), *log = getenv("RECORDER_LOG");
    const char *text = getenv("RECORDER_RULE");
    if (folder) root_length = (size_t)snprintf(root, sizeof root, "%s", folder);
    if (log) log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char op;
    if (text && sscanf(text, "%c|%255[^|]|%ld|%ld|%15s", &op, rule.part, &rule.first, &rule.count, rule.what) == 5)
        rule.op = op;
}

static int inside(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (!path[root_length] || path[root_length] == '/');
}

static void note(enum op op, uint64_t inode, int64_t offset, const char *path, const void *data, size_t size) {
    if (log_file < 0) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct head head = {(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, inode, offset,
                        (uint32_t)strlen(path), (uint32_t)size, op, 0};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, size}};
    syscall(SYS_writev, log_file, parts, 3);
}

static int matches(const char *part, const char *path) {
    size_t length = strlen(part), whole = strlen(path);
    if (!strcmp(part, "*")) return 1;
    if (!length || part[length - 1] != '$') return strstr(path, part) != NULL;
    return whole >= --length && !strncmp(path + whole - length, part, length);
}

/* What the rule wants at this operation: "" for nothing. */
static const char *wanted(enum op op, const char *path) {
    if (rule.op != (int)op || !matches(rule.part, path)) return "";
    rule.seen++;
    return rule.seen >= rule.first && rule.seen < rule.first + rule.count ? rule.what : "";
}

static void end_if(const char *what, const char *when) {
    if (!strcmp(what, when)) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
}

/* Whether the operation is to fail; sets errno. */
static int fails(const char *what) {
    int number = atoi(what);
    if (number) errno = number;
    return number != 0;
}

/* The absolute path of a descriptor; 0 if it is none of the folder. */
static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return inside(path);
}

/* The absolute path of a name beside a directory; 0 if it is none of the folder. */
static int path_at(int folder, const char *name, char *path) {
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return inside(path);
    }
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) <= 0) return 0;
    } else if (!path_of(folder, base)) {
        return 0;
    }
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", base, name);
    return inside(path);
}

static uint64_t inode_of(int file) {
    struct stat facts;
    return syscall(SYS_fstat, file, &facts) ? 0 : facts.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat facts;
    return syscall(SYS_newfstatat, AT_FDCWD, path, &facts, AT_SYMLINK_NOFOLLOW) ? 0 : facts.st_ino;
}

/* ---- bytes */
static ssize_t put(int file, const void *data, size_t size, int64_t offset, int positioned) {
    char path[PATH_MAX];
    int said = file == 1, ours = path_of(file, path);
    if (!ours && !said)
        return positioned ? syscall(SYS_pwrite64, file, data, size, offset) : syscall(SYS_write, file, data, size);
    if (!ours) path[0] = 0;
    pthread_mutex_lock(&lock);
    const char *what = ours ? wanted(WRITE, path) : "";
    ssize_t done = -1;
    end_if(what, "before");
    if (!fails(what)) {
        if (!strcmp(what, "tear")) size /= 2;
        if (ours && !positioned) {
            struct stat facts;
            int appends = (int)syscall(SYS_fcntl, file, F_GETFL) & O_APPEND;
            offset = appends && !syscall(SYS_fstat, file, &facts) ? facts.st_size : syscall(SYS_lseek, file, 0, SEEK_CUR);
        }
        done = positioned ? syscall(SYS_pwrite64, file, data, size, offset) : syscall(SYS_write, file, data, size);
        if (done > 0) note(ours ? WRITE : SAID, ours ? inode_of(file) : 0, offset, path, data, (size_t)done);
        end_if(what, "tear");
        end_if(what, "after");
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int file, const void *data, size_t size) { return put(file, data, size, 0, 0); }
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return put(file, data, size, at, 1); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) { return put(file, data, size, at, 1); }

ssize_t writev(int file, const struct iovec *parts, int count) {
    ssize_t total = 0;
    char path[PATH_MAX];
    if (!path_of(file, path)) return syscall(SYS_writev, file, parts, count);
    for (int i = 0; i < count; i++) {
        ssize_t done = put(file, parts[i].iov_base, parts[i].iov_len, 0, 0);
        if (done < 0) return total ? total : -1;
        total += done;
    }
    return total;
}

static int on_file(enum op op, int file, int64_t size, long number) {
    char path[PATH_MAX];
    if (!path_of(file, path)) return (int)syscall(number, file, size);
    pthread_mutex_lock(&lock);
    const char *what = wanted(op, path);
    int status = -1;
    end_if(what, "before");
    if (!fails(what)) {
        status = (int)syscall(number, file, size);
        if (!status) note(op, inode_of(file), size, path, "", 0);
        end_if(what, "after");
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int ftruncate(int file, off_t size) { return on_file(TRUNCATE, file, size, SYS_ftruncate); }
int ftruncate64(int file, off64_t size) { return on_file(TRUNCATE, file, size, SYS_ftruncate); }
int fsync(int file) { return on_file(SYNC, file, 0, SYS_fsync); }
int fdatasync(int file) { return on_file(SYNC, file, 0, SYS_fdatasync); }

/* ---- ways to change bytes that the record has no form for: whoever reads it must stop */
static void unknown(int file, const char *name) {
    char path[PATH_MAX];
    if (path_of(file, path)) note(UNKNOWN, 0, 0, path, name, strlen(name));
}

void *mmap(void *at, size_t size, int access, int flags, int file, off_t offset) {
    if (file >= 0 && (access & PROT_WRITE) && (flags & MAP_SHARED)) unknown(file, "mmap");
    return (void *)syscall(SYS_mmap, at, size, access, flags, file, offset);
}
void *mmap64(void *at, size_t size, int access, int flags, int file, off64_t offset) {
    return mmap(at, size, access, flags, file, offset);
}
int fallocate(int file, int mode, off_t offset, off_t size) {
    unknown(file, "fallocate");
    return (int)syscall(SYS_fallocate, file, mode, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    unknown(to, "sendfile");
    return syscall(SYS_sendfile, to, from, offset, size);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) { return sendfile(to, from, offset, size); }
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    unknown(file, "pwritev");
    return syscall(SYS_pwritev, file, parts, count, offset, 0);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t offset) {
    return pwritev(file, parts, count, offset);
}

/* ---- names */
static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(folder, name, path))
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    uint64_t before = inode_at(path);
    const char *what = before ? "" : wanted(CREATE, path);
    int file = -1;
    end_if(what, "before");
    if (!fails(what)) {
        file = (int)syscall(SYS_openat, folder, name, flags, mode);
        if (file >= 0 && !before) note(CREATE, inode_of(file), 0, path, "", 0);
        else if (file >= 0 && (flags & O_TRUNC)) note(TRUNCATE, before, 0, path, "", 0);
        end_if(what, "after");
    }
    pthread_mutex_unlock(&lock);
    return file;
}

#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = (mode_t)va_arg(rest, int); va_end(rest); }
int open(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags) return open_at(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags) return open_at(folder, name, flags, mode); }

/* One change of names: `to` is NULL where there is only one. */
static int rename_like(enum op op, int from_folder, const char *from, int to_folder, const char *to, long a, long b) {
    char path[PATH_MAX], other[PATH_MAX] = "";
    int ours = path_at(from_folder, from, path);
    if (to) ours = path_at(to_folder, to, other) || ours;
#define ASK() (op == RENAME ? syscall(SYS_renameat, from_folder, from, to_folder, to) \
    : op == LINK ? syscall(SYS_linkat, from_folder, from, to_folder, to, a) \
    : op == MKDIR ? syscall(SYS_mkdirat, from_folder, from, b) : syscall(SYS_unlinkat, from_folder, from, a))
    if (!ours) return (int)ASK();
    pthread_mutex_lock(&lock);
    const char *what = wanted(op, path);
    int status = -1;
    end_if(what, "before");
    if (!fails(what)) {
        status = (int)ASK();
        if (!status) note(op, op == MKDIR ? inode_at(path) : 0, 0, path, other, strlen(other));
        end_if(what, "after");
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int rename(const char *from, const char *to) { return rename_like(RENAME, AT_FDCWD, from, AT_FDCWD, to, 0, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_like(RENAME, a, from, b, to, 0, 0); }
int link(const char *from, const char *to) { return rename_like(LINK, AT_FDCWD, from, AT_FDCWD, to, 0, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return rename_like(LINK, a, from, b, to, flags, 0); }
int mkdir(const char *name, mode_t mode) { return rename_like(MKDIR, AT_FDCWD, name, 0, NULL, 0, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return rename_like(MKDIR, folder, name, 0, NULL, 0, mode); }
int unlink(const char *name) { return rename_like(UNLINK, AT_FDCWD, name, 0, NULL, 0, 0); }
int unlinkat(int folder, const char *name, int flags) { return rename_like(UNLINK, folder, name, 0, NULL, flags, 0); }
int rmdir(const char *name) { return rename_like(UNLINK, AT_FDCWD, name, 0, NULL, AT_REMOVEDIR, 0); }
