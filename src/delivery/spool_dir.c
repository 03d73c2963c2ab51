/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/spool_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define DATABASE "spool.db"
#define SALVAGED DATABASE ".salvaged"

/* A path that is too long is found when it is opened. */
static void print_path(const struct spool_dir *dir, char *out, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir->directory, name) >= PATH_MAX)
		out[0] = '\0';
}

void spool_dir_init(struct spool_dir *dir, const char *directory)
{
	*dir = (struct spool_dir){.directory = directory, .lock_fd = -1};
	print_path(dir, dir->path, DATABASE);
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

static bool is_file(const char *path, struct file_id id)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_dev == id.device && st.st_ino == id.inode;
}

/* --- copies ------------------------------------------------------------------------------------*/

/* The number of a copy: `rest` is what stands behind the suffix. 0: it is none. */
static int number_of(const char *rest)
{
	char *end;
	long n = 1;

	if (rest[0] == '.' && is_digit(rest[1])) {
		n = strtol(rest + 1, &end, 10);
		rest = end;
	}
	return (rest[0] == '\0' || rest[0] == '-') && n > 0 && n < INT_MAX ? (int)n : 0;
}

/* Looks at all copies: their bytes, and the highest number of those with this suffix. Where the
 * directory cannot be read, nothing is known of them. */
static bool look_at_copies(const struct spool_dir *dir, const char *suffix, int *last,
			   int64_t *bytes)
{
	char prefix[SPOOL_NAME_MAX_BYTES];
	DIR *stream = opendir(dir->directory);
	struct dirent *entry;
	struct stat st;
	int len = snprintf(prefix, sizeof(prefix), DATABASE ".%s", suffix);

	*last = 0;
	*bytes = 0;
	if (!stream)
		return false;
	for (errno = 0; (entry = readdir(stream)); errno = 0) {
		int n = 0;

		if (strncmp(entry->d_name, DATABASE ".", sizeof(DATABASE)) != 0)
			continue;
		if (strncmp(entry->d_name, prefix, (size_t)len) == 0)
			n = number_of(entry->d_name + len);
		if (n > *last)
			*last = n;
		if (fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			*bytes += st.st_size;
	}
	len = errno;
	closedir(stream);
	errno = len;
	return errno == 0;
}

int64_t spool_dir_copies_bytes(struct spool_dir *dir)
{
	int64_t bytes;
	int last;

	if (dir->copies_bytes > 0 && look_at_copies(dir, "", &last, &bytes))
		dir->copies_bytes = bytes;
	return dir->copies_bytes;
}

static void print_copy(char copy[SPOOL_NAME_MAX_BYTES], const char *suffix, int n)
{
	if (n > 1)
		snprintf(copy, SPOOL_NAME_MAX_BYTES, DATABASE ".%s.%d", suffix, n);
	else
		snprintf(copy, SPOOL_NAME_MAX_BYTES, DATABASE ".%s", suffix);
}

/* From the name of the database, followed by `part`, to that of the copy. */
static bool move_to_copy(const struct spool_dir *dir, const char *copy, const char *part)
{
	char from[PATH_MAX + 8], to[PATH_MAX + SPOOL_NAME_MAX_BYTES + 8];

	snprintf(from, sizeof(from), "%s%s", dir->path, part);
	snprintf(to, sizeof(to), "%s/%s%s", dir->directory, copy, part);
	return rename(from, to) == 0;
}

static void remove_part(const struct spool_dir *dir, const char *part)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s%s", dir->path, part);
	unlink(path);
}

bool spool_dir_move_aside(struct spool_dir *dir, const char *suffix,
			  char copy[SPOOL_NAME_MAX_BYTES])
{
	int last;

	errno = EBUSY;
	if (spool_dir_log_bytes(dir) > 0 || !look_at_copies(dir, suffix, &last, &dir->copies_bytes))
		return log_unusable("The database of the spool cannot be moved aside.", dir->path);
	print_copy(copy, suffix, last + 1);
	remove_part(dir, "-shm");
	if (!move_to_copy(dir, copy, "") || !spool_dir_sync_directory(dir))
		return log_unusable("The database of the spool cannot be moved aside.", dir->path);
	return true;
}

/* --- the exchange ------------------------------------------------------------------------------*/

void spool_dir_salvaged_path(const struct spool_dir *dir, char path[PATH_MAX])
{
	print_path(dir, path, SALVAGED);
}

/* All but its first step, which was done to `copy`. */
static bool finish_exchange(struct spool_dir *dir, const char *copy)
{
	char salvaged[PATH_MAX];

	spool_dir_salvaged_path(dir, salvaged);
	remove_part(dir, "-shm");
	if ((move_to_copy(dir, copy, "-wal") || errno == ENOENT) && spool_dir_sync_directory(dir) &&
	    rename(salvaged, dir->path) == 0 && spool_dir_sync_directory(dir))
		return true;
	return log_unusable("The repaired database of the spool cannot be renamed to spool.db.",
			    salvaged);
}

static void remove_copy(const struct spool_dir *dir, const char *copy)
{
	char path[PATH_MAX + SPOOL_NAME_MAX_BYTES + 8];

	snprintf(path, sizeof(path), "%s/%s", dir->directory, copy);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s-wal", dir->directory, copy);
	unlink(path);
}

bool spool_dir_exchange(struct spool_dir *dir, bool keep, char copy[SPOOL_NAME_MAX_BYTES])
{
	int last;

	if (!look_at_copies(dir, "damaged", &last, &dir->copies_bytes))
		return log_unusable("The directory of the spool cannot be read.", dir->directory);
	print_copy(copy, "damaged", last + 1);
	if (!spool_dir_sync_directory(dir) || !move_to_copy(dir, copy, "") ||
	    !spool_dir_sync_directory(dir))
		return log_unusable("The database of the spool cannot be moved aside.", dir->path);
	if (!finish_exchange(dir, copy))
		return false;
	if (!keep) {
		remove_copy(dir, copy);
		copy[0] = '\0';
	}
	return true;
}

/* The number of the copy that the log of a database belongs to which is gone. */
static int number_of_last(const struct spool_dir *dir, int last)
{
	char copy[SPOOL_NAME_MAX_BYTES], path[PATH_MAX + SPOOL_NAME_MAX_BYTES + 8];
	struct stat st;

	print_copy(copy, "damaged", last);
	snprintf(path, sizeof(path), "%s/%s-wal", dir->directory, copy);
	return last > 0 && lstat(path, &st) < 0 ? last : last + 1;
}

/* After a process that was killed while it salvaged, or while it exchanged. */
static bool end_interrupted(struct spool_dir *dir)
{
	char salvaged[PATH_MAX], copy[SPOOL_NAME_MAX_BYTES];
	struct stat st;
	int last;

	spool_dir_salvaged_path(dir, salvaged);
	if (lstat(salvaged, &st) < 0)
		return errno == ENOENT || errno == ENAMETOOLONG ||
		       log_unusable("The directory of the spool cannot be read.", dir->directory);
	if (lstat(dir->path, &st) == 0)
		return unlink(salvaged) == 0 ||
		       log_unusable("The file that a former repair left cannot be removed.",
				    salvaged);
	if (errno != ENOENT || !look_at_copies(dir, "damaged", &last, &dir->copies_bytes))
		return log_unusable("The directory of the spool cannot be read.", dir->directory);
	print_copy(copy, "damaged", number_of_last(dir, last));
	return finish_exchange(dir, copy);
}

/* --- opening -----------------------------------------------------------------------------------*/

/* One that is there already stays as wide as it is, be it an emptyDir or, for root, /var/lib; the files are
 * ours alone in any case. */
static bool make_directory(const struct spool_dir *dir)
{
	if (mkdir(dir->directory, 0700) < 0 && errno != EEXIST)
		return log_unusable("The directory of the spool cannot be made.", dir->directory);
	return true;
}

/* Whether the lock that is held is the one that others see: somebody may have removed it, and the
 * directory perhaps, and a process that came after may hold the one that it made. */
static bool is_locked(const struct spool_dir *dir, const char *path)
{
	return dir->lock_fd >= 0 && is_file(path, dir->lock);
}

static bool lock_file(struct spool_dir *dir, int fd, const char *path)
{
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return log_unusable(
			"Another process uses this spool; each needs a directory of its own.",
			path);
	if (fstat(fd, &st) < 0)
		return log_unusable("The lock of the spool cannot be opened.", path);
	dir->lock = (struct file_id){st.st_dev, st.st_ino};
	/* It may have been removed while we waited for nobody. */
	if (!is_file(path, dir->lock))
		return log_unusable("The lock of the spool was removed.", path);
	return true;
}

static bool take_lock(struct spool_dir *dir)
{
	char path[PATH_MAX];
	int fd;

	print_path(dir, path, "lock");
	if (is_locked(dir, path))
		return true;
	spool_dir_release(dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return log_unusable("The lock of the spool cannot be opened.", path);
	if (!lock_file(dir, fd, path)) {
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
	dir->database = (struct file_id){0};
	if (fstat(fd, &st) == 0)
		dir->database = (struct file_id){st.st_dev, st.st_ino};
	close(fd);
	return true;
}

bool spool_dir_is_same(const struct spool_dir *dir)
{
	char lock[PATH_MAX];

	print_path(dir, lock, "lock");
	return is_file(dir->path, dir->database) && is_locked(dir, lock);
}

bool spool_dir_prepare(struct spool_dir *dir)
{
	int last;

	if (!make_directory(dir) || !take_lock(dir) || !end_interrupted(dir) || !make_file(dir))
		return false;
	return look_at_copies(dir, "", &last, &dir->copies_bytes) ||
	       log_unusable("The directory of the spool cannot be read.", dir->directory);
}

bool spool_dir_sync_directory(const struct spool_dir *dir)
{
	int fd = open(dir->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced;

	if (fd < 0)
		return false;
	/* Some file systems cannot do it, and say so. */
	synced = fsync(fd) == 0 || errno == EINVAL;
	close(fd);
	return synced;
}

/* --- sizes -------------------------------------------------------------------------------------*/

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
	return bytes_of(dir->path) + spool_dir_log_bytes(dir) + dir->copies_bytes;
}

int64_t spool_dir_room(const struct spool_dir *dir)
{
	struct statvfs vfs;

	if (statvfs(dir->directory, &vfs) < 0)
		return INT64_MAX;
	return (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize;
}
