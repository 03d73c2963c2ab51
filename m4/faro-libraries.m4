# FARO_LIBRARY(VARIABLE, PKG-CONFIG MODULE, DEBIAN PACKAGE)
# Finds a library; what is missing is collected, so that one run names all of it.
AC_DEFUN([FARO_LIBRARY], [
PKG_CHECK_MODULES([$1], [$2], [], [
	faro_missing="$faro_missing
  $2: apt-get install $3"])
])

# FARO_REPORT_MISSING: after all of them.
AC_DEFUN([FARO_REPORT_MISSING], [
AS_IF([test -n "$faro_missing"],
	[AC_MSG_ERROR([these libraries are missing; on Debian they come with$faro_missing])])
])

# FARO_LIBFCGI
# libfcgi before upstream 2.4.7 adds the name and value lengths of a parameter in an int
# (CVE-2025-23016): a record that says 2^31-1 for both makes it allocate no byte at all and read into
# that. Debian mended it in 2.4.2-2+deb12u1 without a new version number, so the test is what the
# library does: does it ask malloc for nothing when it is given such a record?
AC_DEFUN([FARO_LIBFCGI], [
PKG_CHECK_MODULES([FCGI], [fcgi], [], [
	AC_CHECK_HEADER([fcgiapp.h], [FCGI_LIBS=-lfcgi], [
		faro_missing="$faro_missing
  fcgi: apt-get install libfcgi-dev"])])
AS_IF([test -n "$FCGI_LIBS"], [
	AC_CACHE_CHECK([whether libfcgi is patched against CVE-2025-23016], [faro_cv_libfcgi_patched], [
		faro_save_CPPFLAGS=$CPPFLAGS; faro_save_LIBS=$LIBS; faro_save_CFLAGS=$CFLAGS
		CPPFLAGS="$CPPFLAGS $FCGI_CFLAGS"; LIBS="$FCGI_LIBS $LIBS"; CFLAGS=-fno-builtin
		AC_RUN_IFELSE([FARO_LIBFCGI_PROBE], [faro_cv_libfcgi_patched=yes],
			[faro_cv_libfcgi_patched=no],
			[AS_IF([$PKG_CONFIG --atleast-version=2.4.7 fcgi],
				[faro_cv_libfcgi_patched=yes], [faro_cv_libfcgi_patched=unknown])])
		CPPFLAGS=$faro_save_CPPFLAGS; LIBS=$faro_save_LIBS; CFLAGS=$faro_save_CFLAGS
	])
	AS_CASE([$faro_cv_libfcgi_patched],
		[yes], [],
		[unknown], [AC_MSG_ERROR([cannot run a test program to see whether libfcgi is patched against
CVE-2025-23016. If it is (Debian 2.4.2-2+deb12u1, upstream 2.4.7, or newer), say so:
  ./configure faro_cv_libfcgi_patched=yes])],
		[AC_MSG_ERROR([this libfcgi overflows its heap on a crafted parameter (CVE-2025-23016).
Install Debian's 2.4.2-2+deb12u1 or newer (apt-get install --only-upgrade libfcgi-dev libfcgi0ldbl)
or upstream's 2.4.7 or newer.])])
])
])

# The record goes through a socket pair to FCGX_Accept_r; our own malloc sees what it asks for.
AC_DEFUN([FARO_LIBFCGI_PROBE], [AC_LANG_SOURCE([[
#include <fcgiapp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
static volatile int armed, asked_for_nothing;
void *malloc(size_t size)
{
	if (armed && size == 0)
		asked_for_nothing = 1;
	return __libc_malloc(size);
}

int main(void)
{
	static const unsigned char records[] = {
		1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0,                 /* begin */
		1, 4, 0, 1, 0, 8, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* params */
		1, 4, 0, 1, 0, 0, 0, 0,
	};
	int pair[2];
	FCGX_Request request;

	alarm(10);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || FCGX_Init() != 0 ||
	    FCGX_InitRequest(&request, -1, 0) != 0)
		return 2;
	if (write(pair[0], records, sizeof(records)) != (ssize_t)sizeof(records))
		return 2;
	close(pair[0]);
	request.ipcFd = pair[1];
	request.keepConnection = 1; /* else the first thing it does is to close the socket */
	armed = 1;
	FCGX_Accept_r(&request);
	return asked_for_nothing;
}
]])])
