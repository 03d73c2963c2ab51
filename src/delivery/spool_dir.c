#include "delivery/spool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"

/* A path that is too long is found when it is opened. */
static void print_path(const struct spool_dir *dir, char *out, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir->directory, name) >= PATH_MAX)
		out[0] = '\0';
}

void spool_dir_init(struct spool_dir *dir, const char *directory)
{
	*dir = (struct spool_dir){.directory = directory, .lock_fd = -1};
	print_path(dir, dir->path, "spool.db");
}

void spool_dir_release(struct spool_dir *dir)
{
	if (dir->lock_fd >= 0)
		close(dir->lock_fd);
	dir->lock_fd = -1;
}

static bool log_unusable(const char *msg, const char *path)
{
	log_limited(LOG_ERROR, "spool_unusable", msg, LOG_STR("path", path),
		    LOG_STR("error", strerror(errno)));
	return false;
}

/* A directory that is there already keeps its permissions, be it an emptyDir or, for root,
 * /var/lib; the files are ours alone in any case. */
static bool make_directory(const struct spool_dir *dir)
{
	if (mkdir(dir->directory, 0700) < 0 && errno != EEXIST)
		return log_unusable("The directory of the spool cannot be made.", dir->directory);
	return true;
}

static bool take_lock(struct spool_dir *dir)
{
	char path[PATH_MAX];
	int fd;

	print_path(dir, path, "lock");
	if (dir->lock_fd >= 0 && access(path, F_OK) == 0)
		return true;
	/* Somebody removed it, and the directory perhaps. */
	spool_dir_release(dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return log_unusable("The lock of the spool cannot be opened.", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		log_unusable("Another process uses this spool; each needs a directory of its own.",
			     path);
		close(fd);
		return false;
	}
	dir->lock_fd = fd;
	return true;
}

/* SQLite would give it the mode of the umask; its other files follow this one's. */
static bool make_file(struct spool_dir *dir)
{
	int fd = open(dir->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0)
		return log_unusable("The database of the spool cannot be opened.", dir->path);
	fchmod(fd, 0600);
	dir->inode = fstat(fd, &st) == 0 ? st.st_ino : 0;
	close(fd);
	return true;
}

bool spool_dir_is_same(const struct spool_dir *dir)
{
	struct stat st;

	return stat(dir->path, &st) == 0 && st.st_ino == dir->inode;
}

bool spool_dir_prepare(struct spool_dir *dir)
{
	return make_directory(dir) && take_lock(dir) && make_file(dir);
}

static bool move_one(const struct spool_dir *dir, const char *suffix, const char *part)
{
	char from[PATH_MAX + 8], to[PATH_MAX + 32];

	snprintf(from, sizeof(from), "%s%s", dir->path, part);
	snprintf(to, sizeof(to), "%s.%s%s", dir->path, suffix, part);
	unlink(to);
	return rename(from, to) == 0 || errno == ENOENT;
}

bool spool_dir_move_aside(struct spool_dir *dir, const char *suffix)
{
	char shm[PATH_MAX + 8];

	snprintf(shm, sizeof(shm), "%s-shm", dir->path);
	unlink(shm);
	if (!move_one(dir, suffix, "-wal") || !move_one(dir, suffix, ""))
		return log_unusable("The database of the spool cannot be moved aside.", dir->path);
	spool_dir_sync_directory(dir);
	return true;
}

void spool_dir_sync_directory(struct spool_dir *dir)
{
	int fd = open(dir->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int64_t bytes_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

int64_t spool_dir_log_bytes(const struct spool_dir *dir)
{
	char wal[PATH_MAX + 8];

	snprintf(wal, sizeof(wal), "%s-wal", dir->path);
	return bytes_of(wal);
}

int64_t spool_dir_bytes(const struct spool_dir *dir)
{
	return bytes_of(dir->path) + spool_dir_log_bytes(dir);
}

int64_t spool_dir_room(const struct spool_dir *dir)
{
	struct statvfs vfs;

	if (statvfs(dir->directory, &vfs) < 0)
		return INT64_MAX;
	return (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize;
}
